//! The inspector: a page on loopback that shows the requests of the gateways as their spans tell them.
//!
//! ```text
//! Envoy ──spans (OTLP over a Unix socket)──▶ receive ▶ span ▶ store ──rows (server-sent events)──▶ page
//! ```
//!
//! It holds what the spans hold, which never is a secret, in memory alone. Who may ask stands in [`access`]. Nothing
//! here is written to disk, and nothing of it exists where nobody inspects.

mod access;
mod assets;
mod listen;
mod receive;
mod serve;
mod span;
mod store;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

pub(crate) use listen::Loopback;

use self::access::{Access, Token};
use self::store::Store;

/// The path that spans are posted to.
pub(crate) use receive::PATH;

/// Who knows how everything stands: JSON, or nothing where there is no answer.
pub(crate) type AskState =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> + Send + Sync>;

/// A running inspector. It ends with the runtime.
pub(crate) struct Inspector {
    url: String,
}

impl Inspector {
    /// Listens for spans at `socket`, which is replaced, and for browsers at `listen`.
    ///
    /// # Errors
    /// One of the two cannot be listened at, or the system gives no random bytes.
    pub(crate) async fn start(listen: Loopback, socket: &Path, state: AskState) -> io::Result<Inspector> {
        let store = Arc::new(Store::default());
        let spans = crate::state::socket::bind(socket).map_err(io::Error::other)?;
        let pages = tokio::net::TcpListener::bind(listen.address()).await?;
        let address = pages.local_addr()?;
        let token = Token::random()?;
        let url = format!("http://{address}/{}/", token.as_str());
        tokio::spawn(receive::serve(spans, Arc::clone(&store)));
        tokio::spawn(serve::serve(
            pages,
            Arc::new(serve::Page::new(Access::new(address, token), store, state)),
        ));
        Ok(Inspector { url })
    }

    /// Where the page is, with the token that opens it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}
