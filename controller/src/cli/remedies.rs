//! What to do about each reason that conditions give, and which field it speaks of where its message names none.
//! `docs/troubleshooting.md` says more about each.

/// Reason, the fields that may be at fault where the message names none, remedy.
type Entry = (&'static str, &'static [&'static str], &'static str);

const REMEDIES: &[Entry] = &[
    (
        "AudienceUnknown",
        &["spec.providerAuth.gcp", "spec.rules"],
        "name exact hosts in the route, or set the audience or scopes of the token",
    ),
    (
        "Conflicted",
        &["spec.targetRefs", "spec.parentRefs"],
        "remove one of the two policies, or let them fill different places",
    ),
    (
        "Failing",
        &["spec.secretRef"],
        "correct the account in the Secret, or let the token endpoint be reached",
    ),
    (
        "FilterRefused",
        &[],
        "this is a fault of Keyward; please report it with the manifests, their Secrets removed",
    ),
    ("Invalid", &[], "correct that field"),
    ("InvalidSecret", &["spec.secretRef"], "put a usable value into the Secret, or pass one with --secret"),
    ("InvalidSpec", &[], "correct that field"),
    (
        "KeyNotFound",
        &["spec.secretKey", "spec.secretRef"],
        "add the key to the Secret, name another in secretKey, or pass --secret NAME=VARIABLE:KEY",
    ),
    ("Nacked", &[], "read what the Envoy refused; use the Envoy that `make setup` installs"),
    (
        "NoMatchingListener",
        &["spec.parentRefs"],
        "add a listener for that port and protocol, or attach the route to another",
    ),
    (
        "NoMatchingParent",
        &["spec.parentRefs"],
        "name an EgressGateway that exists, with group, kind, name and perhaps namespace",
    ),
    ("NoPolicy", &[], "add a CredentialInjectionPolicy that targets this route or its gateway"),
    ("NoProxies", &[], "wait until the Envoy has connected; see the log of `keyward dev` where it does not"),
    ("NoTerminateListener", &["spec.parentRefs"], "give the gateway a listener with tls.mode: Terminate"),
    (
        "NotAllowedByListeners",
        &["spec.parentRefs"],
        "put the route into the gateway's namespace, or admit it in allowedRoutes",
    ),
    ("Pending", &[], "wait a moment; it is being carried out"),
    ("PolicyRefused", &[], "correct the CredentialInjectionPolicy that is refused"),
    ("RefNotPermitted", &["spec.secretRef", "spec.parentRefs"], "refer to an object of the same namespace"),
    (
        "RegionUnknown",
        &["spec.rules"],
        "set spec.providerAuth.region of the policy, or name a host that holds the region",
    ),
    (
        "RouteDenied",
        &["spec.parentRefs"],
        "remove the EgressDenyPolicy that targets the route, if its requests are to pass",
    ),
    (
        "SecretNotFound",
        &["spec.secretRef"],
        "add the Secret, correct its name, or pass it with --secret NAME=VARIABLE",
    ),
    (
        "TargetNotFound",
        &["spec.targetRefs", "spec.parentRefs"],
        "name an AIProviderRoute or EgressGateway of the same namespace that exists",
    ),
    ("TokenUnavailable", &["spec.secretRef"], "see the condition TokenRenewal of the policy"),
    ("Unsupported", &[], "remove what is not supported"),
    ("UnsupportedValue", &[], "write one of the values that are supported"),
];

/// What to do.
pub(super) fn remedy(reason: &str) -> &'static str {
    find(reason).map_or("see docs/troubleshooting.md", |(.., remedy)| *remedy)
}

/// The fields that a reason may speak of: the first that the object has.
pub(super) fn fields(reason: &str) -> &'static [&'static str] {
    find(reason).map_or(&[], |(_, fields, _)| fields)
}

fn find(reason: &str) -> Option<&'static Entry> {
    REMEDIES.iter().find(|(known, ..)| *known == reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_once_and_in_order() {
        assert!(REMEDIES.is_sorted_by(|one, other| one.0 < other.0));
    }
}
