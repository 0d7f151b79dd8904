//! The certificate authority of one gateway.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Ten years: the certificate is baked into sandbox images and trust stores that nobody renews by themselves, its
/// key never leaves the controller, and nobody but this gateway's agents trusts it.
const LIFE: Duration = Duration::days(3650);

/// Sandboxes whose clock is behind accept it too.
const BACKDATED: Duration = Duration::days(1);

/// The longest common name that X.520 allows.
const COMMON_NAME_LIMIT: usize = 64;

/// Why a certificate authority cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate is not one PEM block that holds an X.509 certificate.
    #[error("the certificate is not an X.509 certificate in PEM")]
    Certificate,
    /// The certificate may not sign others.
    #[error("the certificate is not a certificate authority's")]
    NotAuthority,
    /// The key is not a private key in PEM that can sign.
    #[error("the key is not a PKCS#8 private key in PEM")]
    Key,
    /// Certificate and key do not belong together.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// The certificate has expired.
    #[error("the certificate has expired")]
    Expired,
    /// Making or signing a certificate failed.
    #[error("a certificate could not be signed")]
    Signing,
}

/// A certificate authority: its certificate, and its key inside. No `Debug`: it holds the key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    not_after: OffsetDateTime,
}

impl Authority {
    /// Makes one for a gateway (`namespace/name`). Returns its key in PEM beside it, to be kept.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] where the system gives no randomness.
    pub fn create(
        gateway: &str,
        now: OffsetDateTime,
    ) -> Result<(Authority, Zeroizing<String>), AuthorityError> {
        let key =
            KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| AuthorityError::Signing)?;
        let params = params(gateway, now);
        let certificate = params.self_signed(&key).map_err(|_| AuthorityError::Signing)?.pem();
        let pem = Zeroizing::new(key.serialize_pem());
        let not_after = params.not_after;
        Ok((Authority { issuer: Issuer::new(params, key), certificate, not_after }, pem))
    }

    /// Takes one up again from the PEM of its certificate and key.
    ///
    /// # Errors
    /// Any [`AuthorityError`] but `Signing`.
    pub fn load(certificate: &str, key: &str, now: OffsetDateTime) -> Result<Authority, AuthorityError> {
        let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|_| AuthorityError::Certificate)?;
        let (_, parsed) =
            X509Certificate::from_der(&pem.contents).map_err(|_| AuthorityError::Certificate)?;
        if !parsed.is_ca() {
            return Err(AuthorityError::NotAuthority);
        }
        let key = KeyPair::from_pem(key).map_err(|_| AuthorityError::Key)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(AuthorityError::Mismatch);
        }
        let not_after = parsed.validity().not_after.to_datetime();
        if not_after <= now {
            return Err(AuthorityError::Expired);
        }
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(|_| AuthorityError::Certificate)?;
        Ok(Authority { issuer, certificate: certificate.to_owned(), not_after })
    }

    /// The certificate in PEM: what agents are to trust.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// When the certificate expires. No leaf outlives it.
    #[must_use]
    pub fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

fn params(gateway: &str, now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name(gateway));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - BACKDATED;
    params.not_after = now + LIFE;
    params
}

/// Names the gateway. One too long for a common name ends in a hash, so that two gateways never share a name.
fn common_name(gateway: &str) -> String {
    let name = format!("Keyward {gateway}");
    if name.chars().count() <= COMMON_NAME_LIMIT {
        return name;
    }
    let hash: String = Sha256::digest(gateway).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let head: String = name.chars().take(COMMON_NAME_LIMIT - hash.len() - 1).collect();
    format!("{head}~{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn error(certificate: &str, key: &str, now: OffsetDateTime) -> Option<AuthorityError> {
        Authority::load(certificate, key, now).err()
    }

    #[test]
    fn an_authority_survives_being_kept_as_pem() {
        let (made, key) = Authority::create("default/echo-bot", now()).unwrap();
        let loaded = Authority::load(made.certificate(), &key, now()).unwrap();
        assert_eq!(loaded.certificate(), made.certificate());
        assert_eq!(loaded.not_after(), made.not_after());
    }

    #[test]
    fn an_authority_names_its_gateway_and_lasts_ten_years() {
        let (made, _) = Authority::create("default/echo-bot", now()).unwrap();
        let (_, pem) = parse_x509_pem(made.certificate().as_bytes()).unwrap();
        let parsed = pem.parse_x509().unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=Keyward default/echo-bot");
        assert!(parsed.is_ca() && parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(parsed.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
        assert_eq!(made.not_after() - now(), Duration::days(3650));
    }

    #[test]
    fn long_gateway_names_stay_distinct_within_64_characters() {
        let long = |end: &str| common_name(&format!("{}/{}{end}", "n".repeat(63), "g".repeat(62)));
        assert_eq!(long("a").chars().count(), COMMON_NAME_LIMIT);
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_cause() {
        let (one, one_key) = Authority::create("a/one", now()).unwrap();
        let (_, other_key) = Authority::create("a/other", now()).unwrap();
        let leaf = super::super::leaf::certificate(&one, "a.example", now()).unwrap();
        let later = now() + Duration::days(3651);
        let certificate = one.certificate();
        #[rustfmt::skip]
        let cases = [
            ("", one_key.as_str(), now(), AuthorityError::Certificate),
            (&certificate[..200], &one_key, now(), AuthorityError::Certificate),
            (&leaf.0, &leaf.1, now(), AuthorityError::NotAuthority),
            (certificate, "", now(), AuthorityError::Key),
            (certificate, certificate, now(), AuthorityError::Key),
            (certificate, &other_key, now(), AuthorityError::Mismatch),
            (certificate, &one_key, later, AuthorityError::Expired),
        ];
        for (certificate, key, now, cause) in cases {
            assert_eq!(error(certificate, key, now), Some(cause));
        }
    }
}
