//! Agents: clients that send exactly what a test says, where a library would tidy it up.
//!
//! Every part that a gateway compares can be chosen by itself: the CONNECT target, the SNI, the authority, the
//! protocol, and for HTTP/1.1 every byte. Nothing is retried, pooled or redirected.

mod agent;
mod connect;
mod failure;
pub mod frames;
mod http1;
mod http2;
mod message;
mod tls;
pub mod upload;

pub use agent::{Agent, Http, Way, every_way};
pub use connect::{connect, plain};
pub use failure::Failure;
pub use http1::{Http1, Io};
pub use http2::Http2;
pub use message::{Request, Response};
pub use tls::{Handshake, handshake};
