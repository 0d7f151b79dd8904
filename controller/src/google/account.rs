//! A service account's key file, as Google hands it out.

use jsonwebtoken::EncodingKey;
use policy::google::Account;
use policy::secret::Secret;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::endpoint::{Endpoint, EndpointError, GOOGLE};
use super::key::{self, KeyError};

/// The one cloud whose hosts and audiences are known here.
const UNIVERSE: &str = "googleapis.com";

/// Credentials that are not a service account's key, as Google's tools call them.
const OTHER_TYPES: [&str; 5] = [
    "authorized_user",
    "external_account",
    "external_account_authorized_user",
    "gdch_service_account",
    "impersonated_service_account",
];

/// Why a value cannot be a service account. Names fields and remedies, never a value of a field that is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AccountError {
    /// Not JSON, or not an object.
    #[error("it is not a JSON object; use the key file as it was downloaded from Google")]
    NotJson,
    /// A field that is read is there twice or is not text.
    #[error("a field is repeated or is not text; use the key file as it was downloaded from Google")]
    Shape,
    /// A field is not there, or empty.
    #[error("`{0}` is missing; use the key file as it was downloaded from Google")]
    Missing(&'static str),
    /// Another kind of credential.
    #[error("`type` is `{0}`, which is not supported; create a key for a service account and use its JSON")]
    OtherType(&'static str),
    /// A kind of credential that nobody knows.
    #[error("`type` is not `service_account`; create a key for a service account and use its JSON")]
    UnknownType,
    /// Another cloud than Google's public one.
    #[error(
        "`universe_domain` is not `googleapis.com`; only accounts of the public Google Cloud are supported"
    )]
    Universe,
    /// Not an address of an account.
    #[error("`client_email` is not an e-mail address; use the key file as it was downloaded from Google")]
    ClientEmail,
    /// Not a name of a key.
    #[error("`private_key_id` holds a space or a control character; use the key file as it was downloaded")]
    PrivateKeyId,
    /// The key is broken, or in another format.
    #[error("`private_key` is not a PKCS#8 private key in PEM; create a new key for the account")]
    KeyMalformed,
    /// The key is protected by a passphrase.
    #[error("`private_key` is encrypted; store it without a passphrase, or create a new key for the account")]
    KeyEncrypted,
    /// The key is of another kind.
    #[error("`private_key` is not an RSA key; create a new key for the account")]
    KeyNotRsa,
    /// The key is weak.
    #[error("`private_key` has fewer than 2048 bits; create a new key for the account")]
    KeyTooShort,
    /// The key is longer than what can sign here.
    #[error("`private_key` has more than 4096 bits; create a new key of 2048 bits for the account")]
    KeyTooLong,
    /// Not a URL that can be called.
    #[error("`token_uri` is not an https URL; remove it to use Google's, or correct it")]
    TokenUri,
    /// It would send what the key signed in clear.
    #[error("`token_uri` is http to a host that is not a loopback address; use https")]
    TokenUriCleartext,
}

impl From<KeyError> for AccountError {
    fn from(error: KeyError) -> AccountError {
        match error {
            KeyError::Malformed => AccountError::KeyMalformed,
            KeyError::Encrypted => AccountError::KeyEncrypted,
            KeyError::NotRsa => AccountError::KeyNotRsa,
            KeyError::TooShort => AccountError::KeyTooShort,
            KeyError::TooLong => AccountError::KeyTooLong,
        }
    }
}

impl From<EndpointError> for AccountError {
    fn from(error: EndpointError) -> AccountError {
        match error {
            EndpointError::Malformed => AccountError::TokenUri,
            EndpointError::Cleartext => AccountError::TokenUriCleartext,
        }
    }
}

/// A service account: who it is, and the key that signs for it. No `Debug`: it holds the key.
pub struct ServiceAccount {
    pub(super) email: String,
    pub(super) key_id: String,
    pub(super) key: EncodingKey,
    pub(super) endpoint: Endpoint,
    digest: [u8; 32],
}

/// The fields that are read. `project_id`, `client_id`, `auth_uri` and the certificates' URLs are not needed.
#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    private_key: Option<Zeroizing<String>>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
    universe_domain: Option<String>,
}

impl KeyFile {
    fn read(bytes: &[u8]) -> Result<KeyFile, AccountError> {
        // Fields in a list would do for the parser.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(AccountError::NotJson);
        }
        // The parser's own message may quote what it read.
        serde_json::from_slice(bytes)
            .map_err(|error| if error.is_data() { AccountError::Shape } else { AccountError::NotJson })
    }
}

impl ServiceAccount {
    /// Reads a key file: the value of a Secret.
    ///
    /// The key is zeroized when the account is dropped. What the JSON parser unescaped it in is not.
    ///
    /// # Errors
    /// [`AccountError`], which names the field and the remedy.
    pub fn parse(bytes: &[u8]) -> Result<ServiceAccount, AccountError> {
        let file = KeyFile::read(bytes)?;
        check_type(file.kind.as_deref())?;
        if file.universe_domain.is_some_and(|universe| universe != UNIVERSE) {
            return Err(AccountError::Universe);
        }
        let pem =
            file.private_key.filter(|key| !key.is_empty()).ok_or(AccountError::Missing("private_key"))?;
        Ok(ServiceAccount {
            email: email(file.client_email)?,
            key_id: key_id(file.private_key_id)?,
            key: key::read(&pem)?,
            endpoint: Endpoint::parse(file.token_uri.as_deref().unwrap_or(GOOGLE))?,
            digest: Sha256::digest(bytes).into(),
        })
    }

    /// What a filter without a controller gets, to sign tokens by itself.
    #[must_use]
    pub fn sealable(&self) -> Secret {
        Account::join(&self.email, &self.key_id, self.key.as_bytes())
    }

    /// `client_email`: who the account is.
    #[must_use]
    pub fn client_email(&self) -> &str {
        &self.email
    }

    /// Whether both were read from the same bytes.
    #[must_use]
    pub fn is_same_file(&self, other: &ServiceAccount) -> bool {
        self.digest == other.digest
    }

    /// Whether both stand for one account at one token endpoint, perhaps with different keys of it.
    pub(super) fn is_same_account(&self, other: &ServiceAccount) -> bool {
        self.email == other.email && self.endpoint == other.endpoint
    }
}

fn check_type(kind: Option<&str>) -> Result<(), AccountError> {
    match kind {
        Some("service_account") => Ok(()),
        None => Err(AccountError::Missing("type")),
        Some(kind) => Err(match OTHER_TYPES.into_iter().find(|other| *other == kind) {
            Some(other) => AccountError::OtherType(other),
            None => AccountError::UnknownType,
        }),
    }
}

fn email(text: Option<String>) -> Result<String, AccountError> {
    let text = text.filter(|text| !text.is_empty()).ok_or(AccountError::Missing("client_email"))?;
    let is_address = text.contains('@') && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_address { Ok(text) } else { Err(AccountError::ClientEmail) }
}

fn key_id(text: Option<String>) -> Result<String, AccountError> {
    let text = text.filter(|text| !text.is_empty()).ok_or(AccountError::Missing("private_key_id"))?;
    let is_name = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_name { Ok(text) } else { Err(AccountError::PrivateKeyId) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{armoured, key_file, pem};
    use super::*;

    fn with(field: &str, value: Value) -> Vec<u8> {
        let mut file = key_file("one", GOOGLE);
        file[field] = value;
        file.to_string().into_bytes()
    }

    fn without(field: &str) -> Vec<u8> {
        let mut file = key_file("one", GOOGLE);
        file.as_object_mut().unwrap().remove(field);
        file.to_string().into_bytes()
    }

    fn check(bytes: &[u8], expected: AccountError) {
        let error = ServiceAccount::parse(bytes).err();
        assert_eq!(error, Some(expected));
        let text = expected.to_string();
        assert!(text.contains(';'), "no remedy: {text}");
    }

    #[test]
    fn a_key_file_of_google_is_read_and_its_token_uri_may_be_absent() {
        let account = ServiceAccount::parse(key_file("one", GOOGLE).to_string().as_bytes()).unwrap();
        assert_eq!(account.client_email(), "robot@project.iam.gserviceaccount.com");
        assert_eq!(account.key_id, "one-key-id");
        let bare = ServiceAccount::parse(&without("token_uri")).unwrap();
        assert_eq!(bare.endpoint, account.endpoint);
        assert!(ServiceAccount::parse(&without("universe_domain")).is_ok());
    }

    #[test]
    fn escapes_in_the_json_of_the_key_are_undone() {
        let text = key_file("one", GOOGLE).to_string().replace('=', "\\u003d").replace('/', "\\/");
        assert!(text.contains("\\n") && text.contains("\\/"));
        assert!(ServiceAccount::parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn other_credentials_of_google_are_refused_by_name() {
        for kind in OTHER_TYPES {
            check(&with("type", json!(kind)), AccountError::OtherType(kind));
            assert!(AccountError::OtherType(kind).to_string().contains(kind));
        }
        check(&with("type", json!("SERVICE_ACCOUNT")), AccountError::UnknownType);
        check(&without("type"), AccountError::Missing("type"));
    }

    #[test]
    fn what_is_no_key_file_is_refused_by_field() {
        for bytes in ["", "{", "[]", "null", "\"text\"", "sk-ant-0123", "\u{feff}{}"] {
            check(bytes.as_bytes(), AccountError::NotJson);
        }
        check(&with("client_email", json!(7)), AccountError::Shape);
        check(&with("private_key", json!(["a"])), AccountError::Shape);
        check(br#"{"type": "service_account", "type": "service_account"}"#, AccountError::Shape);
        for field in ["client_email", "private_key", "private_key_id"] {
            check(&without(field), AccountError::Missing(field));
            check(&with(field, json!("")), AccountError::Missing(field));
            check(&with(field, json!(null)), AccountError::Missing(field));
        }
        check(&with("client_email", json!("robot")), AccountError::ClientEmail);
        check(&with("client_email", json!("robot@a b")), AccountError::ClientEmail);
        check(&with("private_key_id", json!("a\nb")), AccountError::PrivateKeyId);
        check(&with("universe_domain", json!("example.cloud")), AccountError::Universe);
        check(&with("token_uri", json!("")), AccountError::TokenUri);
        check(
            &with("token_uri", json!("http://oauth2.googleapis.com/token")),
            AccountError::TokenUriCleartext,
        );
    }

    #[test]
    fn keys_that_cannot_sign_are_refused_and_never_quoted() {
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        #[rustfmt::skip]
        let cases = [
            ("canary-0123".to_owned(), AccountError::KeyMalformed),
            (armoured("ENCRYPTED PRIVATE KEY", "Y2FuYXJ5"), AccountError::KeyEncrypted),
            (elliptic, AccountError::KeyNotRsa),
            (pem("short"), AccountError::KeyTooShort),
        ];
        for (key, expected) in cases {
            check(&with("private_key", json!(key)), expected);
            assert!(!format!("{expected} {expected:?}").contains("canary"));
        }
    }

    #[test]
    fn accounts_are_the_same_file_by_bytes_and_the_same_account_by_name_and_endpoint() {
        let parse = |file: Value| ServiceAccount::parse(file.to_string().as_bytes()).unwrap();
        let one = parse(key_file("one", GOOGLE));
        assert!(one.is_same_file(&parse(key_file("one", GOOGLE))));
        let rotated = parse(key_file("other", GOOGLE));
        assert!(!one.is_same_file(&rotated) && one.is_same_account(&rotated));
        assert!(!one.is_same_account(&parse(key_file("one", "https://a.example/token"))));
    }
}
