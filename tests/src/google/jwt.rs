//! A JWT that a key of a service account signed.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::account::Key;

/// A JWT whose signature is right and whose time is now.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// The key that signed it.
    pub key: Key,
    /// Its claims.
    pub claims: Value,
}

impl Jwt {
    /// Reads and verifies one: `RS256`, signed by the key that it names, issued before now and not ended, for an hour at
    /// most.
    #[must_use]
    pub fn verify(token: &str) -> Option<Jwt> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
        let key = Key::ALL.into_iter().find(|key| header["kid"] == key.id())?;
        let (issued, ends) = (claims["iat"].as_u64()?, claims["exp"].as_u64()?);
        let is_current = issued <= now() && now() < ends && ends - issued <= 3600;
        let is_signed = header["alg"] == "RS256" && key.signed(message.as_bytes(), &decode(signature)?);
        (is_current && is_signed).then_some(Jwt { key, claims })
    }

    /// A claim that is text; empty where there is none.
    #[must_use]
    pub fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}
