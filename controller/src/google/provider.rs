//! RS256 for `jsonwebtoken`, with ring, which the program links anyway.
//!
//! Absent on purpose: verification, JWKs and every other algorithm. Google's accounts have RSA keys and nothing here
//! reads a token.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

#[cfg(test)]
use super::testing::verifier;

static RING: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Without a provider of its own `jsonwebtoken` panics at the first signature; with one, this does nothing.
pub(super) fn install() {
    let _ = RING.install_default();
}

struct Rs256(RsaKeyPair);

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    if *algorithm != Algorithm::RS256 {
        return Err(new_error(ErrorKind::UnsupportedAlgorithm));
    }
    let pair = RsaKeyPair::from_pkcs8(key.as_bytes());
    Ok(Box::new(Rs256(pair.map_err(|_| new_error(ErrorKind::InvalidKeyFormat))?)))
}

#[cfg(not(test))]
fn verifier(
    _: &Algorithm,
    _: &jsonwebtoken::DecodingKey,
) -> Result<Box<dyn jsonwebtoken::crypto::JwtVerifier>, Error> {
    Err(new_error(ErrorKind::UnsupportedAlgorithm))
}

impl Signer<Vec<u8>> for Rs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
