//! The contenders: Envoys that do the same interception and differ in the HTTP filters that it runs.
//!
//! Keyward is the gateway as `keyward dev` runs it. Each of the others is made from that gateway's own
//! configuration, read back from its Envoy, with its filters swapped: whatever Keyward's interception becomes, the
//! others do it too.

mod chain;
mod dump;
mod keyward;
mod native;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use harness::client::{Agent, Http, Way};

use crate::child::Child;
use crate::load::{Connection, PLACEHOLDER};
use crate::upstream::{NOTE_KEY, Upstream};

/// The host that requests are for.
pub const HOST: &str = harness::gateway::HOST;
/// The credential, as long as Anthropic's are: how long a key is decides which headers can hold it.
pub const KEY: &str = "sk-ant-bench-pTyGJMuHbEL31IeL2HPcHyGcFRl1SPnXNYvMIHa_2o76umfXfKm_r5kJP1VrT-1FJors_6ILi8IHn5kxsC7tVO_HbkQfyAA";

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// The same interception, no credential.
    Bare,
    /// A module whose callbacks do nothing.
    Idle,
    /// Envoy's `credential_injector`.
    Injector,
    /// What Envoy has of itself for the same job: RBAC, `header_mutation` and `credential_injector`.
    Native,
    /// Keyward.
    Keyward,
}

impl Kind {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bare => "bare",
            Kind::Idle => "idle module",
            Kind::Injector => "injector",
            Kind::Native => "native chain",
            Kind::Keyward => "keyward",
        }
    }

    fn injects(self) -> bool {
        !matches!(self, Kind::Bare | Kind::Idle)
    }
}

/// What gateways are built from.
#[derive(Debug, Clone, clap::Args)]
pub struct Parts {
    /// The filter module to measure [default: the one of this clone, built now]
    #[arg(long, value_name = "PATH")]
    pub module: Option<PathBuf>,
    /// The `keyward` to run [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub keyward: Option<PathBuf>,
    /// Worker threads of each Envoy [default: what each benchmark says]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
}

/// A running contender. Dropping it ends it.
pub struct Contender {
    /// What it is.
    pub kind: Kind,
    /// Its proxy port.
    pub proxy: SocketAddr,
    /// Certificate of the CA that agents trust, PEM.
    pub ca: String,
    /// Process number of its Envoy.
    pub envoy: u32,
    _process: Child,
    /// Its files; gone after the process.
    _folder: tempfile::TempDir,
}

impl Contender {
    /// An agent of it that wants `host`.
    #[must_use]
    pub fn agent(&self, http: Http, host: &str) -> Agent {
        Agent::new(Way::Proxy(self.proxy, format!("{host}:443")), http, host, &self.ca)
    }

    /// Makes sure that it does its job: the provider gets the credential, or what the agent sent. Panics otherwise.
    async fn prove(&self, upstream: &Upstream) {
        let expected = if self.kind.injects() { KEY } else { PLACEHOLDER };
        for http in [Http::One, Http::Two] {
            Connection::open(&self.agent(http, HOST), HOST).await.ask(NOTE_KEY).await;
            assert_eq!(upstream.noted().as_deref(), Some(expected), "{} over {http:?}", self.kind.name());
        }
    }
}

/// Starts these contenders in front of this provider, and proves that each does its job. Panics when one does
/// not start.
pub async fn start(kinds: &[Kind], parts: &Parts, workers: u32, upstream: &Upstream) -> Vec<Contender> {
    let workers = parts.workers.unwrap_or(workers);
    let keyward = keyward::start(parts, workers, upstream).await;
    let dump = dump::Dump::read(&keyward.admin);
    let mut all = Vec::new();
    for kind in kinds.iter().copied().filter(|kind| *kind != Kind::Keyward) {
        all.push(native::start(kind, &dump, workers, upstream).await);
    }
    if kinds.contains(&Kind::Keyward) {
        all.push(keyward.contender);
    }
    for contender in &all {
        contender.prove(upstream).await;
    }
    all.sort_by_key(|contender| contender.kind);
    all
}

/// Writes an executable that runs Envoy with this many workers, whatever it is told.
fn envoy_with_workers(folder: &Path, workers: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("envoy-with-workers");
    let text = format!(
        "#!/usr/bin/env bash\nargs=(\"$@\")\nfor i in \"${{!args[@]}}\"; do\n  \
         [ \"${{args[i]}}\" != --concurrency ] || args[i+1]={workers}\ndone\nexec {} \"${{args[@]}}\"\n",
        harness::artefacts::envoy().display()
    );
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("an executable");
    path
}
