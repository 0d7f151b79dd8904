//! The reasons of refusals: `docs/reasons.md` names each where it belongs, with its status and whether a retry helps, and
//! every refusal leads to its section there.

use std::collections::BTreeSet;

use policy::denial::{Denial, Reason, Retry};

use super::{document, quoted, rows, section};

/// The reason after this one; the match makes a new reason a compile error here.
fn next(reason: Reason) -> Option<Reason> {
    Some(match reason {
        Reason::HostNotListed => Reason::EndpointNotListed,
        Reason::EndpointNotListed => Reason::ModelNotListed,
        Reason::ModelNotListed => Reason::ModelUnreadable,
        Reason::ModelUnreadable => Reason::PortNotListed,
        Reason::PortNotListed => Reason::ClusterNotAllowed,
        Reason::ClusterNotAllowed => Reason::CredentialUnsealable,
        Reason::CredentialUnsealable => Reason::SecretNotFound,
        Reason::SecretNotFound => Reason::KeyNotFound,
        Reason::KeyNotFound => Reason::InvalidSecret,
        Reason::InvalidSecret => Reason::NoPolicy,
        Reason::NoPolicy => Reason::RouteRefused,
        Reason::RouteRefused => Reason::RouteDenied,
        Reason::RouteDenied => Reason::RegionUnknown,
        Reason::RegionUnknown => Reason::TokenUnavailable,
        Reason::TokenUnavailable => Reason::TokenExpired,
        Reason::TokenExpired => Reason::NoConfiguration,
        Reason::NoConfiguration => Reason::HostCallFailed,
        Reason::HostCallFailed => Reason::SniMissing,
        Reason::SniMissing => Reason::SniMismatch,
        Reason::SniMismatch => Reason::TargetMismatch,
        Reason::TargetMismatch => Reason::AuthorityMalformed,
        Reason::AuthorityMalformed => Reason::PathNotCanonical,
        Reason::PathNotCanonical => Reason::HeaderNameMalformed,
        Reason::HeaderNameMalformed => Reason::Unsignable,
        Reason::Unsignable => Reason::ChunkSigned,
        Reason::ChunkSigned => Reason::RequestIncomplete,
        Reason::RequestIncomplete => Reason::BodyTooLarge,
        Reason::BodyTooLarge => Reason::Cleartext,
        Reason::Cleartext => Reason::MethodNotAllowed,
        Reason::MethodNotAllowed => Reason::UpstreamRefused,
        Reason::UpstreamRefused => Reason::AnswerEncoded,
        Reason::AnswerEncoded => Reason::Overloaded,
        Reason::Overloaded => return None,
    })
}

/// Every exact reason, in the order of the code.
pub(crate) fn all() -> Vec<Reason> {
    std::iter::successors(Some(Reason::HostNotListed), |reason| next(*reason)).collect()
}

#[test]
fn every_reason_has_its_place_and_nothing_else_is_called_one() {
    let text = document("docs/reasons.md");
    for coarse in all().into_iter().map(Reason::coarse).collect::<BTreeSet<_>>() {
        let name = coarse.as_str();
        let exact: Vec<_> = all().into_iter().filter(|reason| reason.coarse() == coarse).collect();

        let (_, causes) = section(&text, name).split_once("Exact cause").expect(name);
        let is_reason = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let named: BTreeSet<_> = quoted(causes).into_iter().filter(is_reason).collect();
        assert_eq!(named, exact.iter().map(|reason| reason.as_str()).collect(), "{name}");

        let row = rows(&text).into_iter().find(|row| row[0] == format!("[{name}](#{name})")).expect(name);
        let digits = |word: &&str| word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty();
        let statuses: BTreeSet<_> = row[1].split([' ', ',']).filter(digits).map(str::to_owned).collect();
        let given = exact.iter().map(|reason| Denial::new(*reason).status().to_string());
        assert_eq!(statuses, given.collect(), "{name}");
        assert_eq!(row[2] == "yes", coarse.retry() == Retry::MayHelp, "{name}");
    }
    let sections = text.matches("\n## ").count();
    assert_eq!(sections, all().into_iter().map(Reason::coarse).collect::<BTreeSet<_>>().len());
}

#[test]
fn the_link_of_every_refusal_leads_to_its_section() {
    let text = document("docs/reasons.md");
    for reason in all().into_iter().map(Reason::coarse).collect::<BTreeSet<_>>() {
        let link = format!("docs/reasons.md#{}.", reason.as_str());
        for body in [reason.body(), reason.body_teaching("in other words, as Envoy has them.")] {
            assert!(body.contains(&link), "{body}");
        }
        section(&text, reason.as_str());
    }
}
