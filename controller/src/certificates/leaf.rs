//! One leaf: a short-lived certificate for one host name, as the SDS secret that Envoy presents.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use super::ca::{Authority, AuthorityError};
use crate::xds::{Kind, Resource};

/// How long a leaf is valid, its back-dating included.
pub const LIFE: Duration = Duration::hours(24);

/// A leaf is valid this long before it is made, for agents whose clock is behind.
pub const BACKDATED: Duration = Duration::hours(1);

/// A minted leaf. No `Debug`: its resource holds the key.
pub struct Leaf {
    /// The SDS secret; its name is the host name.
    pub resource: Arc<Resource>,
    /// When it is to be replaced: two thirds into its life.
    pub renew_at: OffsetDateTime,
}

impl Leaf {
    /// Makes a leaf for a host name.
    ///
    /// # Errors
    /// [`AuthorityError::Signing`] where the name is no DNS name or the system gives no randomness; another one where
    /// what came out does not fit together.
    pub fn mint(authority: &Authority, name: &str, now: OffsetDateTime) -> Result<Leaf, AuthorityError> {
        let (certificate, key) = certificate(authority, name, now)?;
        check(&certificate, &key)?;
        let resource = Arc::new(Resource::encode(Kind::Secret, name, &secret(name, certificate, &key)));
        Ok(Leaf { resource, renew_at: now - BACKDATED + LIFE * 2 / 3 })
    }

    /// When its certificate ends.
    #[must_use]
    pub fn ends_at(&self) -> OffsetDateTime {
        self.renew_at + LIFE / 3
    }
}

/// Certificate and key in PEM. Each leaf has a key of its own: a P-256 key costs less than its signature, and one
/// that is taken out of a data plane then serves one name for a day.
pub(super) fn certificate(
    authority: &Authority,
    name: &str,
    now: OffsetDateTime,
) -> Result<(String, Zeroizing<String>), AuthorityError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|_| AuthorityError::Signing)?;
    let params = params(authority, name, now)?;
    let certificate = params.signed_by(&key, authority.issuer()).map_err(|_| AuthorityError::Signing)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

/// A proxy that is sent a broken first leaf lets handshakes hang: certificate and key are compared as it will.
fn check(certificate: &str, key: &str) -> Result<(), AuthorityError> {
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|_| AuthorityError::Certificate)?;
    let parsed = pem.parse_x509().map_err(|_| AuthorityError::Certificate)?;
    let key = KeyPair::from_pem(key).map_err(|_| AuthorityError::Key)?;
    match parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw() {
        true => Ok(()),
        false => Err(AuthorityError::Mismatch),
    }
}

fn params(
    authority: &Authority,
    name: &str,
    now: OffsetDateTime,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    // A host name can be longer than a common name may be: the alternative name alone says whose it is.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Keyward leaf");
    let dns = name.try_into().map_err(|_| AuthorityError::Signing)?;
    params.subject_alt_names = vec![SanType::DnsName(dns)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - BACKDATED;
    params.not_after = (now - BACKDATED + LIFE).min(authority.not_after());
    Ok(params)
}

/// The chain is the leaf alone: the authority is what agents trust already.
fn secret(name: &str, certificate: String, key: &str) -> Secret {
    let inline = |pem: String| {
        Some(DataSource { specifier: Some(Specifier::InlineString(pem)), ..Default::default() })
    };
    let certificate = TlsCertificate {
        certificate_chain: inline(certificate),
        private_key: inline(key.to_owned()),
        ..Default::default()
    };
    Secret { name: name.to_owned(), r#type: Some(secret::Type::TlsCertificate(certificate)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    #[test]
    fn a_leaf_is_for_one_name_signed_by_its_authority_and_valid_for_a_day() {
        let (authority, _) = Authority::create("default/gw", now()).unwrap();
        let (pem, _) = certificate(&authority, "api.example.com", now()).unwrap();
        let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, ca) = parse_x509_pem(authority.certificate().as_bytes()).unwrap();
        let (leaf, ca) = (pem.parse_x509().unwrap(), ca.parse_x509().unwrap());

        assert_eq!(leaf.issuer(), ca.subject());
        assert!(
            leaf.extensions()
                .iter()
                .any(|extension| format!("{extension:?}").contains("AuthorityKeyIdentifier"))
        );
        let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value.general_names);
        assert_eq!(names, r#"[DNSName("api.example.com")]"#);
        assert!(!leaf.is_ca());
        assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
        let valid = leaf.validity();
        assert_eq!(valid.not_before.to_datetime(), now() - Duration::hours(1));
        assert_eq!(valid.not_after.to_datetime() - valid.not_before.to_datetime(), Duration::hours(24));
    }

    #[test]
    fn a_leaf_is_renewed_two_thirds_into_its_life() {
        let (authority, _) = Authority::create("default/gw", now()).unwrap();
        let leaf = Leaf::mint(&authority, "api.example.com", now()).unwrap();
        assert_eq!(leaf.renew_at - (now() - BACKDATED), Duration::hours(16));
    }

    #[test]
    fn no_leaf_outlives_its_authority() {
        let (authority, _) = Authority::create("default/gw", now()).unwrap();
        let late = authority.not_after() - Duration::hours(2);
        assert_eq!(params(&authority, "a.example", late).unwrap().not_after, authority.not_after());
    }

    #[test]
    fn a_leaf_whose_key_is_another_ones_is_not_sent() {
        let (authority, _) = Authority::create("default/gw", now()).unwrap();
        let (one, key) = certificate(&authority, "a.example", now()).unwrap();
        let (_, other) = certificate(&authority, "a.example", now()).unwrap();
        assert_eq!(check(&one, &key), Ok(()));
        assert_eq!(check(&one, &other), Err(AuthorityError::Mismatch));
    }

    #[test]
    fn two_leaves_of_a_name_differ_in_key_and_version() {
        let (authority, _) = Authority::create("default/gw", now()).unwrap();
        let one = Leaf::mint(&authority, "a.example", now()).unwrap();
        let two = Leaf::mint(&authority, "a.example", now()).unwrap();
        assert_eq!(one.resource.name, "a.example");
        assert_ne!(one.resource.version, two.resource.version);
    }
}
