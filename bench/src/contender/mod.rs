//! The contenders: Envoys that do the same interception and differ in the HTTP filters that it runs.
//!
//! Keyward is the gateway as `keyward dev` runs it. Each of the others is made from that gateway's own
//! configuration, read back from its Envoy, with its filters swapped: whatever Keyward's interception becomes, the
//! others do it too.

mod chain;
mod dump;
mod keyward;
mod native;
mod told;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use harness::client::{Agent, Http, Way};

pub use self::told::Told;
use crate::child::Child;
use crate::load::{Connection, PLACEHOLDER};
use crate::upstream::{NOTE_KEY, Noted, Upstream};

/// The host that requests are for.
pub const HOST: &str = harness::gateway::HOST;
/// The credential, as long as Anthropic's are: how long a key is decides which headers can hold it.
pub const KEY: &str = "sk-ant-bench-pTyGJMuHbEL31IeL2HPcHyGcFRl1SPnXNYvMIHa_2o76umfXfKm_r5kJP1VrT-1FJors_6ILi8IHn5kxsC7tVO_HbkQfyAA";

/// The keys of an AWS account.
pub(crate) const ACCESS_KEY_ID: &str = "AKIAKEYWARDBENCHMARK";
pub(crate) const SECRET_ACCESS_KEY: &str = "wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLEBENC";
/// What is signed for.
pub(crate) const REGION: &str = "us-east-1";
pub(crate) const SERVICE: &str = "bedrock";

/// The protocols over which each contender is asked once before it is measured.
pub const PROOFS: [Http; 2] = [Http::One, Http::Two];

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
    /// Keyward. Nobody is told of requests.
    Keyward,
    /// Keyward, telling a collector of each request.
    Telling,
    /// The same, with bodies (`captureBody`).
    TellingBodies,
    /// Keyward, telling somebody who does not answer.
    Unanswered,
    /// Envoy's `aws_request_signing`.
    NativeSigning,
    /// Keyward, the key in the query instead.
    Query,
    /// Keyward, a token of a Google service account instead.
    Token,
    /// Keyward, signing for AWS.
    Signing,
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
            Kind::Telling => "keyward, telling",
            Kind::TellingBodies => "keyward, telling bodies",
            Kind::Unanswered => "keyward, unanswered",
            Kind::NativeSigning => "aws_request_signing",
            Kind::Query => "keyward, query",
            Kind::Token => "keyward, Google token",
            Kind::Signing => "keyward, AWS",
        }
    }

    /// Whether it is a gateway of Keyward's.
    fn is_keyward(self) -> bool {
        self.tells() || matches!(self, Kind::Keyward | Kind::Query | Kind::Token | Kind::Signing)
    }

    /// Whether it makes a span of each request.
    #[must_use]
    pub fn tells(self) -> bool {
        matches!(self, Kind::Telling | Kind::TellingBodies | Kind::Unanswered)
    }

    /// Whether what the provider received is what it is to receive.
    fn is_right(self, noted: &Noted) -> bool {
        match self {
            Kind::Bare | Kind::Idle => noted.key == PLACEHOLDER,
            Kind::Injector | Kind::Native | Kind::Keyward => noted.key == KEY,
            Kind::Telling | Kind::TellingBodies | Kind::Unanswered => noted.key == KEY,
            Kind::Query => noted.query.ends_with(&format!("&key={KEY}")),
            Kind::Token => noted.authorization.starts_with("Bearer ey"),
            Kind::NativeSigning | Kind::Signing => {
                let scope = format!("Credential={ACCESS_KEY_ID}/");
                noted.authorization.starts_with("AWS4-HMAC-SHA256") && noted.authorization.contains(&scope)
            }
        }
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
    /// Where its Envoy can be asked.
    pub admin: PathBuf,
    /// Whom it tells of requests, if anybody.
    pub told: Option<Told>,
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
        for http in PROOFS {
            Connection::open(&self.agent(http, HOST), HOST).await.ask(NOTE_KEY).await;
            let noted = upstream.noted().expect("a request");
            assert!(self.kind.is_right(&noted), "{} over {http:?}: {noted:?}", self.kind.name());
        }
    }
}

/// Starts these contenders in front of this provider, and proves that each does its job. Panics when one does
/// not start.
pub async fn start(kinds: &[Kind], parts: &Parts, workers: u32, upstream: &Upstream) -> Vec<Contender> {
    let workers = parts.workers.unwrap_or(workers);
    // Who signs over bodies must be let hold them.
    let pattern = if kinds.contains(&Kind::NativeSigning) { Kind::Signing } else { Kind::Keyward };
    let pattern = keyward::start(pattern, parts, workers, upstream).await;
    let dump = dump::Dump::read(&pattern.admin);
    let mut all = Vec::new();
    for kind in kinds.iter().copied().filter(|kind| *kind != pattern.kind) {
        all.push(match kind.is_keyward() {
            true => keyward::start(kind, parts, workers, upstream).await,
            false => native::start(kind, &dump, workers, upstream).await,
        });
    }
    if kinds.contains(&pattern.kind) {
        all.push(pattern);
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
