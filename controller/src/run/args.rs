//! The arguments of `keyward run`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::inspector::Loopback;
use crate::plan::ObjectKey;
use crate::sandbox::{Isolation, Network};
use crate::source::SecretFlag;

/// Run a command whose API keys stay here: what it sends through the gateway gets them on the way.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of manifests (*.yaml) [default: objects for the keys that are found in the environment]
    #[arg(long, value_name = "DIR")]
    pub(super) manifests: Option<PathBuf>,
    /// The EgressGateway of the manifests to use, where there are several
    #[arg(long, value_name = "[NS/]NAME", requires = "manifests")]
    pub(super) gateway: Option<ObjectKey>,
    /// Take a Secret's value from an environment variable, which the command does not get
    #[arg(long, value_name = "[NS/]NAME=VAR[:KEY]", requires = "manifests")]
    pub(super) secret: Vec<SecretFlag>,
    /// Whether the command is kept from this gateway's state, the manifests and other processes
    #[arg(long, value_enum, default_value_t = Isolation::Auto, require_equals = true)]
    pub(super) isolate: Isolation,
    /// Whether the command can reach anything but the gateway
    #[arg(long, value_enum, default_value_t = Network::Auto, require_equals = true)]
    pub(super) network: Network,
    /// Where the CA, sealing key and `secret set` values are kept
    /// [default: that of `keyward dev` with the same manifests; without manifests a new one for each run]
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Serve a page on loopback that shows every request; its URL is said, and by `keyward status` too
    #[arg(long)]
    pub(super) inspect: bool,
    /// Where it is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", requires = "inspect", default_value_t = Loopback::default())]
    pub(super) inspect_listen: Loopback,
    /// Say nothing on standard error but why the command cannot be run
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Print the objects that are served without --manifests, without any key, and exit
    #[arg(long, conflicts_with_all = ["manifests", "command"])]
    pub(super) print_manifests: bool,
    /// The Envoy to run (1.40 or newer) [default: $KEYWARD_ENVOY, PATH, then the one `make setup` installed]
    #[arg(long, value_name = "PATH")]
    pub(super) envoy: Option<PathBuf>,
    /// The filter module to load [default: $KEYWARD_MODULE, then keyward.wasm beside this program]
    #[arg(long, value_name = "PATH")]
    pub(super) module: Option<PathBuf>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required_unless_present = "print_manifests", value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

const EXAMPLES: &str = "\
The command finds a proxy, the gateway's CA and placeholders in its environment, and none of the keys. It ends as the
command ends: with its exit code, 127 where there is no such command, 126 where it cannot be executed.

Examples:
  ANTHROPIC_API_KEY=sk-ant-… keyward run -- claude
  keyward run --network=gateway -- python agent.py
  keyward run --manifests DIR --secret anthropic-credentials=ANTHROPIC_API_KEY -- bash
  keyward run --print-manifests > manifests/egress.yaml";
