//! Service accounts: their key files as Google writes them, and the public halves of their keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::json;

/// A fake private key of 2048 bits, known to everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// One of them.
    One,
    /// Another.
    Other,
}

impl Key {
    /// Both.
    pub const ALL: [Key; 2] = [Key::One, Key::Other];

    /// Its lines of base64, without armour.
    #[must_use]
    pub fn lines(self) -> Vec<&'static str> {
        let text = match self {
            Key::One => include_str!("../../../controller/src/google/testdata/one.key.txt"),
            Key::Other => include_str!("../../../controller/src/google/testdata/other.key.txt"),
        };
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    /// Its name: `kid` of what it signs.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Key::One => "key-one",
            Key::Other => "key-other",
        }
    }

    /// Whether it signed this.
    pub(super) fn signed(self, message: &[u8], signature: &[u8]) -> bool {
        let der = STANDARD.decode(self.lines().concat()).expect("base64");
        let pair = RsaKeyPair::from_pkcs8(&der).expect("a key");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(message, signature).is_ok()
    }
}

/// A service account.
#[derive(Debug, Clone)]
pub struct Account {
    /// `client_email`.
    pub email: String,
    /// The key in its key file.
    pub key: Key,
    /// Where its assertions are exchanged.
    pub token_uri: String,
}

impl Account {
    /// The robot of a project.
    #[must_use]
    pub fn robot(key: Key, token_uri: &str) -> Account {
        let email = "robot@project.iam.gserviceaccount.com".to_owned();
        Account { email, key, token_uri: token_uri.to_owned() }
    }

    /// Its key file.
    #[must_use]
    pub fn key_file(&self) -> String {
        let label = "PRIVATE KEY";
        let body = self.key.lines().join("\n");
        let file = json!({
            "type": "service_account",
            "project_id": "project",
            "private_key_id": self.key.id(),
            "private_key": format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"),
            "client_email": self.email,
            "client_id": "100000000000000000000",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": self.token_uri,
            "universe_domain": "googleapis.com",
        });
        serde_json::to_string_pretty(&file).expect("JSON")
    }
}
