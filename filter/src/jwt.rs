//! JWTs for Google service accounts: `jsonwebtoken` with the RSA of the host, which is several times as fast as any in
//! Wasm (`docs/decisions/0011-tokens-signed-in-the-filter.md`).

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use policy::google::{self, Account, Claims};
use policy::secret::Secret;

use crate::host;

/// Signs by the host.
pub(crate) struct Host;

impl google::Signer for Host {
    fn sign(&self, account: &Account, claims: &Claims<'_>) -> Option<Secret> {
        // Without a provider of its own the library panics at the first signature; with one, this does nothing.
        let _ = PROVIDER.install_default();
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(account.key_id().to_owned());
        // Exposed to the host, which signs with it.
        let key = EncodingKey::from_rsa_der(account.key().expose());
        let token = jsonwebtoken::encode(&header, claims, &key).ok()?;
        Some(Secret::new(token.into_bytes()))
    }
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

struct Rs256(Secret);

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match algorithm {
        Algorithm::RS256 => Ok(Box::new(Rs256(Secret::new(key.as_bytes().to_vec())))),
        _ => Err(new_error(ErrorKind::UnsupportedAlgorithm)),
    }
}

/// Nothing here reads a token.
fn verifier(_: &Algorithm, _: &DecodingKey) -> Result<Box<dyn jsonwebtoken::crypto::JwtVerifier>, Error> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

impl Signer<Vec<u8>> for Rs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        host::sign(&self.0, message).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
