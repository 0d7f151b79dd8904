//! A model provider to test against: real TLS on a real socket, HTTP/1.1 and HTTP/2, everything received kept.
//!
//! It answers like the documentation of Anthropic, OpenAI, Azure OpenAI, Google and Bedrock says, and does on request
//! what tests need of a provider that is slow, silent, wrong about its certificate, or careless with the credential it
//! was sent. It reads no configuration of the gateway and shares no code with it, so what it saw is evidence.

mod answer;
mod anthropic;
mod api;
pub mod aws;
mod bedrock;
mod behaviour;
mod body;
mod certificates;
pub mod control;
mod echo;
mod git;
mod google;
mod log;
mod openai;
mod packages;
mod raw;
mod scripted;
mod serve;
mod tee;
mod tunnel;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use behaviour::{Behaviour, Damage, Echo, Encoding, Tokens};
pub use certificates::{Authority, Identity};
pub use git::Projects;
pub use log::{Connection, Received};
pub use packages::Packages;
pub use scripted::Scripted;
pub use tunnel::tunnel_to;

use log::Log;

/// How a provider is started. The defaults suit most tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 for a free one.
    pub listen: SocketAddr,
    /// Names that its certificate is valid for.
    pub names: Vec<String>,
    /// What is wrong with its certificate, if anything.
    pub identity: Identity,
    /// Protocols offered by ALPN, best first.
    pub alpn: Vec<&'static str>,
    /// What it does at first.
    pub behaviour: Behaviour,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            names: vec!["api.anthropic.com".into()],
            identity: Identity::Valid,
            alpn: vec!["h2", "http/1.1"],
            behaviour: Behaviour::default(),
        }
    }
}

/// What all connections of a provider share.
struct Shared {
    behaviour: Mutex<Behaviour>,
    log: Log,
    /// One permit lets one held stream go on.
    released: Semaphore,
}

/// A running provider. It stops when dropped.
pub struct Provider {
    address: SocketAddr,
    authority: Arc<Authority>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Provider {
    /// Starts one that accepts only `key`, with the default options.
    ///
    /// # Errors
    /// When it cannot listen, or its CA cannot be written.
    pub async fn accepting(key: &str) -> std::io::Result<Provider> {
        let behaviour = Behaviour { key: Some(key.into()), ..Behaviour::default() };
        Provider::start(Options { behaviour, ..Options::default() }).await
    }

    /// Starts one with an authority of its own.
    ///
    /// # Errors
    /// When it cannot listen, or its CA cannot be written.
    pub async fn start(options: Options) -> std::io::Result<Provider> {
        let listener = TcpListener::bind(options.listen).await?;
        // A name of its own: of two authorities with one name in a bundle, Envoy tries only one.
        let name = format!("provider under test at {}", listener.local_addr()?);
        Provider::serve(listener, options, Arc::new(Authority::new(&name)))
    }

    /// Starts one whose certificate this authority signs.
    ///
    /// # Errors
    /// When it cannot listen, or the CA cannot be written.
    pub async fn start_under(authority: &Arc<Authority>, options: Options) -> std::io::Result<Provider> {
        let listener = TcpListener::bind(options.listen).await?;
        Provider::serve(listener, options, Arc::clone(authority))
    }

    fn serve(
        listener: TcpListener,
        options: Options,
        authority: Arc<Authority>,
    ) -> std::io::Result<Provider> {
        let address = listener.local_addr()?;
        let tls = authority.server_config(&options.names, options.identity, &options.alpn);
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(options.behaviour),
            log: Log::default(),
            released: Semaphore::new(0),
        });
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.pem"), authority.pem())?;
        let task = tokio::spawn(serve::accept(listener, tls, Arc::clone(&shared)));
        Ok(Provider { address, authority, shared, task, folder })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its CA, PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        self.authority.pem()
    }

    /// A file with the certificate of its CA; gone when the provider is dropped.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        Path::new(self.folder.path()).join("ca.pem")
    }

    /// Every request received so far, in the order in which their bodies ended.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.log.requests()
    }

    /// Takes the requests received so far, so that the next look shows only later ones.
    pub fn take_requests(&self) -> Vec<Received> {
        self.shared.log.take_requests()
    }

    /// The only request received so far, taken. Panics when there are none or several.
    #[must_use]
    #[track_caller]
    pub fn only_request(&self) -> Received {
        let mut all = self.take_requests();
        assert_eq!(all.len(), 1, "the provider received {} requests, not one", all.len());
        all.remove(0)
    }

    /// Every connection accepted so far, with the decrypted bytes that came over it.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.log.connections()
    }

    /// How many TCP connections were accepted, handshakes that failed included.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.log.accepted()
    }

    /// Waits until `count` requests were received. Panics when they are not within half a minute.
    pub async fn wait_for_requests(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.requests().len() < count {
            assert!(
                Instant::now() < end,
                "{} of {count} requests reached the provider",
                self.requests().len()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets one held stream send its second event, and the rest.
    pub fn release(&self) {
        self.shared.released.add_permits(1);
    }

    /// Changes what it does from the next request on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.behaviour());
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Whether the next request is to be challenged; counts it.
    fn is_challenged(&self) -> bool {
        let left = &mut self.behaviour().challenges;
        let is = *left > 0;
        *left = left.saturating_sub(1);
        is
    }

    fn behaviour(&self) -> std::sync::MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
