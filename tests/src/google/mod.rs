//! A Google to test against: service accounts with fake keys, a token endpoint that verifies, and a service that
//! requires what the endpoint gave out or an account signed.
//!
//! It shares no code with the gateway: signatures are verified with ring, everything else is read by hand.

mod account;
mod jwt;
mod service;
mod token_endpoint;

pub use account::{Account, Key};
pub use jwt::Jwt;
pub use service::{Call, Service};
pub use token_endpoint::{Answer, TokenEndpoint};
