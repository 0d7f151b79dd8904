//! What the tests of this module share: fake keys, key files that hold them, and verification.

use std::sync::{Arc, OnceLock};

use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::errors::Error;
use jsonwebtoken::signature::{self, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, TokenData, Validation};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};

use super::account::ServiceAccount;
use super::endpoint::GOOGLE;
use super::tokens::Wanted;
use super::transport::Transport;
use super::{key, provider};

const ONE: &str = include_str!("testdata/one.key.txt");
const OTHER: &str = include_str!("testdata/other.key.txt");
const SHORT: &str = include_str!("testdata/short.key.txt");

/// The PEM of a fake key: `one` and `other` have 2048 bits, `short` has 1024.
pub(super) fn pem(name: &str) -> String {
    let text = match name {
        "one" => ONE,
        "other" => OTHER,
        _ => SHORT,
    };
    let body: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    armoured("PRIVATE KEY", &body.join("\n"))
}

pub(super) fn armoured(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// A key file as Google writes it.
pub(super) fn key_file(key: &str, token_uri: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": "project",
        "private_key_id": format!("{key}-key-id"),
        "private_key": pem(key),
        "client_email": "robot@project.iam.gserviceaccount.com",
        "client_id": "100000000000000000000",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    })
}

pub(super) fn account(key: &str, token_uri: &str) -> Arc<ServiceAccount> {
    Arc::new(ServiceAccount::parse(key_file(key, token_uri).to_string().as_bytes()).expect("an account"))
}

pub(super) fn wanted(key: &str, token_uri: &str) -> Wanted {
    Wanted { account: account(key, token_uri), transport: transport(None) }
}

/// Verifies against this root, or against one that nobody has.
pub(super) fn transport(root: Option<&str>) -> Transport {
    static SOME_ROOT: OnceLock<String> = OnceLock::new();
    let some_root = SOME_ROOT.get_or_init(|| {
        rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate").cert.pem()
    });
    Transport::new(root.unwrap_or(some_root)).expect("a root")
}

/// What Google does with an assertion: signature of this key, audience, times.
pub(super) fn verify(assertion: &str, key_name: &str) -> Result<TokenData<Value>, Error> {
    provider::install();
    let private = key::read(&pem(key_name)).expect("a key");
    let pair = RsaKeyPair::from_pkcs8(private.as_bytes()).expect("a pair");
    let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[GOOGLE]);
    validation.set_required_spec_claims(&["exp", "aud", "iss"]);
    jsonwebtoken::decode(assertion, &public, &validation)
}

struct Rs256(Vec<u8>);

/// The half of the provider that only tests need.
pub(super) fn verifier(_: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => Ok(Box::new(Rs256(der.clone()))),
        DecodingKeyKind::RsaModulusExponent { .. } => panic!("no test has such a key"),
    }
}

impl Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0);
        key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
