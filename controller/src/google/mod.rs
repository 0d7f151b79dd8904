//! Tokens of Google service accounts: an account's key signs, and only tokens and their ends leave this module.
//!
//! [`ServiceAccount`] and [`Grant`] say whose token and for what, [`exchange()`] gets one, [`Tokens`] keeps a set of them
//! fresh. Absent on purpose: every other Google credential (user logins, federation, impersonation, metadata servers),
//! proxies and redirects on the way to the token endpoint, and files; where accounts come from is the caller's.

mod account;
mod ambient;
mod answer;
mod endpoint;
mod exchange;
mod grant;
mod jwt;
mod key;
mod provider;
mod schedule;
mod state;
#[cfg(test)]
mod test_endpoint;
#[cfg(test)]
mod testing;
mod tokens;
mod transport;
mod upkeep;

pub use account::{AccountError, ServiceAccount};
pub use ambient::Ambient;
pub use answer::{ExchangeError, OauthCode, Outlook};
pub use exchange::{Failure, exchange};
pub use grant::{Audience, Grant, GrantError, Scopes, SelfSigned};
pub use state::{Snapshot, Token, TokenKey, TokenState};
pub use tokens::{Attempts, Tokens, Wanted};
pub use transport::{Transport, TrustError};
