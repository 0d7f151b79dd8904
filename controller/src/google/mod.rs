//! Tokens of Google service accounts: an account's key signs, and only tokens and their ends leave this module.
//!
//! [`ServiceAccount`] and [`Grant`] say whose token and for what, [`exchange()`] gets one.
//! Absent on purpose: every other Google credential (user logins, federation, impersonation, metadata servers),
//! proxies and redirects on the way to the token endpoint, and files; where accounts come from is the caller's.

mod account;
mod answer;
mod endpoint;
mod exchange;
mod grant;
mod jwt;
mod key;
mod provider;
mod state;
#[cfg(test)]
mod test_endpoint;
#[cfg(test)]
mod testing;
mod transport;

pub use account::{AccountError, ServiceAccount};
pub use answer::{ExchangeError, OauthCode, Outlook};
pub use exchange::{Failure, exchange};
pub use grant::{Audience, Grant, GrantError, Scopes, SelfSigned};
pub use state::{Snapshot, Token, TokenKey, TokenState};
pub use transport::{Transport, TrustError};
