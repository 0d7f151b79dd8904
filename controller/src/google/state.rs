//! What there is to know about a token at a moment: for whoever delivers it, and for a status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use policy::secret::Secret;
use time::OffsetDateTime;

use super::answer::ExchangeError;
use super::grant::Grant;

/// Whose token, and for what. Policies that agree in all of it share one token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The key of the Secret that holds the account.
    pub key: String,
    /// What the token is for.
    pub grant: Grant,
}

/// A token and its end.
#[derive(Clone)]
pub struct Token {
    /// What goes after `Bearer `.
    pub value: Arc<Secret>,
    /// From here on it is worth nothing.
    pub expires_at: OffsetDateTime,
}

/// The token's end alone.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        // Exposed to be compared only.
        self.expires_at == other.expires_at && self.value.expose() == other.value.expose()
    }
}

impl Eq for Token {}

/// How a wanted token stands. All of it empty: it is being minted for the first time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenState {
    /// The token, until its end.
    pub token: Option<Token>,
    /// When the last token was minted, whether or not it has ended.
    pub minted_at: Option<OffsetDateTime>,
    /// When the next attempt begins; absent during the first.
    pub next_attempt: Option<OffsetDateTime>,
    /// How many attempts have failed since.
    pub failures: u32,
    /// Why the last of them failed.
    pub last_error: Option<ExchangeError>,
    /// Whose state it is: that of a task that was stopped is not to overwrite that of its successor.
    pub(super) generation: u64,
}

impl TokenState {
    /// That of a token that is there, and of which nothing else is known.
    pub(crate) fn held(token: Token) -> TokenState {
        TokenState { token: Some(token), ..TokenState::default() }
    }
}

/// Every wanted token, by what it is.
pub type Snapshot = BTreeMap<TokenKey, Arc<TokenState>>;
