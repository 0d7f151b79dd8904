//! The arguments of `keyward dev`, parsed into values that cannot be wrong.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::envoy::bootstrap::Capacity;
use crate::inspector::Loopback;
use crate::plan::ObjectKey;
use crate::source::SecretFlag;

/// Run the controller and an Envoy for each EgressGateway in a directory of manifests.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of manifests (*.yaml), watched while running
    #[arg(long, value_name = "DIR")]
    pub manifests: PathBuf,
    /// Where a gateway's proxy port listens; port 0 takes a free one [default: 127.0.0.1:0]
    #[arg(long, value_name = "[NS/NAME=]ADDR:PORT")]
    pub listen: Vec<Listen>,
    /// Where a gateway's transparent TLS port listens, for clients that ignore HTTPS_PROXY
    #[arg(long, value_name = "[NS/NAME=]ADDR:PORT")]
    pub transparent_listen: Vec<Listen>,
    /// Take a Secret's value from an environment variable instead of its manifest
    #[arg(long, value_name = "[NS/]NAME=ENVVAR[:KEY]")]
    pub secret: Vec<SecretFlag>,
    /// Where the CA, sealing key and `secret set` values are kept
    /// [default: $XDG_STATE_HOME/keyward/<hash of the manifests' path>]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The Envoy to run (1.40 or newer) [default: $KEYWARD_ENVOY, PATH, then the one `make setup` installed]
    #[arg(long, value_name = "PATH")]
    pub envoy: Option<PathBuf>,
    /// The filter module to load [default: $KEYWARD_MODULE, then keyward.wasm beside this program]
    #[arg(long, value_name = "PATH")]
    pub module: Option<PathBuf>,
    /// Connections of agents that each Envoy holds at once; further ones are closed
    #[arg(long, value_name = "NUMBER", default_value_t = Capacity::default().connections,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub envoy_connections: u32,
    /// Heap of each Envoy in MiB; near it requests are refused instead
    #[arg(long, value_name = "MIB", default_value_t = Capacity::default().heap_mib,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub envoy_heap: u32,
    /// Where the inspector's page is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value_t = Loopback::default())]
    pub inspect_listen: Loopback,
    /// Serve no inspector: requests are told to nobody but the collectors of the manifests
    #[arg(long, conflicts_with = "inspect_listen")]
    pub no_inspect: bool,
    /// Read no bodies for what requests cost, unless the manifests name a collector: no tokens in lines and summary
    #[arg(long, requires = "no_inspect")]
    pub no_usage: bool,
    /// Serve metrics for Prometheus: `/metrics`, and each Envoy's by `/targets`; who reaches it may read them
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// Print JSON lines on standard output; the first says where the gateways listen
    #[arg(long)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyward dev --manifests examples/anthropic --secret anthropic-credentials=ANTHROPIC_API_KEY
  keyward dev --manifests DIR --listen team/egress=127.0.0.1:8080 --listen team/other=127.0.0.1:8081";

/// `[NS/NAME=]ADDR:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The gateway meant; absent means the only one.
    pub gateway: Option<ObjectKey>,
    /// The address to listen on; port 0 means a free one.
    pub address: SocketAddr,
}

/// Why a `--listen` value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// What stands after `=` is not an address and a port.
    #[error("not an address and port such as 127.0.0.1:8080 or [::1]:0")]
    Address,
    /// What stands before `=` is not a gateway.
    #[error("not a gateway: write NAMESPACE/NAME=ADDR:PORT, or NAME=ADDR:PORT for namespace `default`")]
    Gateway,
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (gateway, address) = match text.split_once('=') {
            None => (None, text),
            Some((gateway, address)) => (Some(gateway.parse().map_err(|_| ListenError::Gateway)?), address),
        };
        Ok(Listen { gateway, address: address.parse().map_err(|_| ListenError::Address)? })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gateway {
            Some(gateway) => write!(f, "{gateway}={}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = text.parse::<Listen>().map(|listen| listen.to_string()).map_err(|e| e.to_string());
        match expected {
            Ok(printed) => assert_eq!(parsed.as_deref(), Ok(printed), "{text}"),
            Err(part) => assert!(parsed.clone().is_err_and(|e| e.contains(part)), "{text}: {parsed:?}"),
        }
    }

    #[test]
    fn a_listen_value_names_an_address_and_perhaps_a_gateway() {
        check("127.0.0.1:0", Ok("127.0.0.1:0"));
        check("[::1]:8080", Ok("[::1]:8080"));
        check("echo-bot=127.0.0.1:0", Ok("default/echo-bot=127.0.0.1:0"));
        check("team/echo-bot=127.0.0.1:0", Ok("team/echo-bot=127.0.0.1:0"));
    }

    #[test]
    fn a_listen_value_that_cannot_be_used_says_what_to_write() {
        check("127.0.0.1", Err("not an address and port"));
        check("8080", Err("not an address and port"));
        check("localhost:80", Err("not an address and port"));
        check("=127.0.0.1:0", Err("not a gateway"));
        check("a/b/c=127.0.0.1:0", Err("not a gateway"));
        check("/x=127.0.0.1:0", Err("not a gateway"));
    }
}
