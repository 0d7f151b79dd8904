//! The certificates that upstreams are verified against: the system's, and every PEM of a gateway's own Secret.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use policy::api::SecretValue;
use policy::api::egress_gateway::Spec;
use x509_parser::pem::Pem;

use super::verdict::Refusal;
use crate::inputs::Inputs;
use crate::plan::ObjectKey;

/// A gateway's own certificates as PEM, nothing where it names none; or why they are missing. Then the system's stand
/// alone: fewer upstreams are trusted, never more.
pub(super) fn own(gateway: &ObjectKey, spec: &Spec, inputs: &Inputs) -> Result<String, Refusal> {
    let reference =
        spec.upstream_tls.as_ref().and_then(|tls| tls.additional_trust_bundle_secret_ref.as_ref());
    let Some(reference) = reference else { return Ok(String::new()) };
    let field = "spec.upstreamTLS.additionalTrustBundleSecretRef";
    if reference.namespace.as_ref().is_some_and(|namespace| *namespace != gateway.namespace) {
        let message = format!("{field}: a Secret of another namespace may not be named");
        return Err(Refusal::new("RefNotPermitted", message));
    }
    let key = ObjectKey { namespace: gateway.namespace.clone(), name: reference.name.clone() };
    match inputs.secrets.get(&key) {
        None => Err(Refusal::new("SecretNotFound", format!("{field}: there is no Secret {key}"))),
        Some(values) => certificates(values)
            .map_err(|why| Refusal::new("InvalidSecret", format!("{field}: Secret {key}: {why}"))),
    }
}

/// The system's bundle and further certificates.
pub(crate) fn joined(system: &str, own: &str) -> String {
    let is_apart = own.is_empty() || system.is_empty() || system.ends_with('\n');
    let separator = if is_apart { "" } else { "\n" };
    format!("{system}{separator}{own}")
}

/// The certificates of every value, written anew: what else the Secret holds (a private key) never leaves it.
fn certificates(values: &BTreeMap<String, SecretValue>) -> Result<String, String> {
    let mut certificates = BTreeSet::new();
    for (key, value) in values {
        let bytes = value.expose().ok_or_else(|| format!("the value of {key} is not base64"))?;
        for pem in Pem::iter_from_buffer(bytes) {
            let pem = pem.map_err(|_| format!("the value of {key} holds broken PEM"))?;
            if pem.label == "CERTIFICATE" {
                pem.parse_x509().map_err(|_| format!("the value of {key} holds a broken certificate"))?;
                certificates.insert(pem.contents);
            }
        }
    }
    if certificates.is_empty() {
        return Err("it holds no PEM certificate".to_owned());
    }
    Ok(certificates.iter().map(|der| pem(der)).collect())
}

/// RFC 7468: lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["ca.test".into()]).unwrap();
        parameters.self_signed(&key).unwrap().pem()
    }

    fn check(values: &[(&str, &str)]) -> Result<String, String> {
        let value = |text: &str| SecretValue::from_bytes(text.as_bytes().to_vec());
        certificates(&values.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect())
    }

    #[test]
    fn every_certificate_of_every_value_is_taken_once_and_nothing_else() {
        let (first, second) = (certificate(), certificate());
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let both = format!("# a comment\n{first}{key}{second}{first}");
        let bundle = check(&[("a", &both), ("b", &second), ("note", "no PEM here")]).unwrap();
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(!bundle.contains("PRIVATE"));
        assert_eq!(check(&[("z", &second), ("y", &first)]).unwrap(), bundle, "order does not matter");
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(check(&[("a", "text")]).unwrap_err(), "it holds no PEM certificate");
        assert_eq!(check(&[("a", broken)]).unwrap_err(), "the value of a holds a broken certificate");
    }
}
