//! A CredentialInjectionPolicy by itself: what it attaches to, which place it fills, and with which credential.

use policy::api::credential_injection_policy::{Spec, Target};
use policy::api::reference::{ParentReference, TargetReference};
use policy::api::status::StatusReference;
use policy::api::{GROUP, Kind};
use policy::secret::Secret;
use policy::wire::DenyCause;

use super::attach::status_reference;
use super::support::{self, Support};
use super::values::header_name;
use super::verdict::Refusal;
use crate::inputs::{Age, Inputs, Reduced};
use crate::plan::ObjectKey;

/// A policy, read. (No `Debug`: it holds a credential.)
pub(super) struct Policy {
    pub(super) age: Age,
    pub(super) generation: Option<i64>,
    pub(super) ancestors: Vec<Ancestor>,
    /// The header that it fills, where that much is sound: two policies on one target must not share it.
    pub(super) place: Option<String>,
    pub(super) content: Result<Fill, Refusal>,
    /// The Secret that it names; rules that share one share a bucket where they can.
    pub(super) secret: ObjectKey,
    pub(super) credential: Result<Secret, Unresolved>,
}

/// One thing that a policy attaches to.
pub(super) struct Ancestor {
    pub(super) to: StatusReference,
    /// The object, or why there is none.
    pub(super) target: Result<PolicyTarget, Refusal>,
    /// Why the policy cannot do for it what it says: the target is denied.
    pub(super) fault: Option<Refusal>,
}

/// An object that a policy may attach to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PolicyTarget {
    Route(ObjectKey),
    Gateway(ObjectKey),
}

/// What a policy does to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fill {
    pub(super) header: String,
    pub(super) prefix: String,
    pub(super) strip_headers: Vec<String>,
    pub(super) strip_query: Vec<String>,
}

/// Why a policy has no credential: for the filter, and for status.
pub(super) struct Unresolved {
    pub(super) cause: DenyCause,
    pub(super) refusal: Refusal,
}

/// Reads a policy.
pub(super) fn read(key: &ObjectKey, policy: &Reduced<Spec>, inputs: &Inputs) -> Policy {
    let spec = &policy.spec;
    Policy {
        age: policy.age,
        generation: policy.generation,
        ancestors: ancestors(key, spec, inputs),
        place: place(spec),
        content: content(spec),
        secret: ObjectKey { namespace: key.namespace.clone(), name: spec.secret_ref.name.clone() },
        credential: credential(key, spec, inputs),
    }
}

/// The place that a header is. Servers may take `_` for `-` (CGI, RFC 3875), so both spellings are one place.
pub(super) fn place_of(header: &str) -> String {
    header.replace('_', "-")
}

fn place(spec: &Spec) -> Option<String> {
    let name = spec.header_name.as_deref().filter(|_| spec.target == Target::Header)?;
    header_name(name).ok().map(|name| place_of(&name))
}

fn content(spec: &Spec) -> Result<Fill, Refusal> {
    if let Some(refusal) =
        Refusal::unsupported(&support::used(support::POLICY, Support::Refused, spec, "spec"))
    {
        return Err(refusal);
    }
    fill(spec).map_err(|message| Refusal::new("Invalid", message))
}

fn fill(spec: &Spec) -> Result<Fill, String> {
    check_references(spec)?;
    // Target is Header here: the others are unsupported.
    if spec.query_param_name.is_some() {
        return Err("spec.queryParamName goes with target: QueryParam only".to_owned());
    }
    if spec.provider_auth.is_some() {
        return Err("spec.providerAuth goes with target: ProviderAuth only".to_owned());
    }
    let header = spec.header_name.as_deref().ok_or("spec.headerName is missing; target: Header needs it")?;
    let header = header_name(header).map_err(|why| format!("spec.headerName: {why}"))?;
    let prefix = spec.value_prefix.clone().unwrap_or_default();
    if !prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("spec.valuePrefix: use visible ASCII characters and spaces".to_owned());
    }
    let strip = |(index, name): (usize, &String)| {
        header_name(name).map_err(|why| format!("spec.stripHeaders[{index}]: {why}"))
    };
    let strip_headers = spec.strip_headers.iter().enumerate().map(strip).collect::<Result<_, _>>()?;
    if spec.strip_query.iter().any(String::is_empty) {
        return Err("spec.stripQuery: a name is empty".to_owned());
    }
    let strip_query = spec.strip_query.iter().map(|name| name.to_lowercase()).collect();
    Ok(Fill { header, prefix, strip_headers, strip_query })
}

fn check_references(spec: &Spec) -> Result<(), String> {
    match (&spec.parent_refs, &spec.target_refs) {
        (Some(_), Some(_)) => Err("spec.parentRefs and spec.targetRefs: write one of the two".to_owned()),
        (None, None) => Err("spec.targetRefs is missing".to_owned()),
        _ => Ok(()),
    }
}

fn ancestors(key: &ObjectKey, spec: &Spec, inputs: &Inputs) -> Vec<Ancestor> {
    let parents = spec.parent_refs.iter().flatten().filter(|it| it.group.as_deref() == Some(GROUP));
    let targets = spec.target_refs.iter().flatten().filter(|it| it.group == GROUP);
    let parents = parents.map(|it| Ancestor {
        to: status_reference(it),
        target: parent_target(key, it, inputs),
        fault: section_fault(it.section_name.is_some() || it.port.is_some()),
    });
    let targets = targets.map(|it| Ancestor {
        to: target_status(it),
        target: target(key, &it.kind, &it.name, inputs),
        fault: section_fault(it.section_name.is_some()),
    });
    parents.chain(targets).collect()
}

fn section_fault(has_section: bool) -> Option<Refusal> {
    has_section.then(|| {
        Refusal::new("Unsupported", "sectionName of a policy is not supported yet; remove it to be accepted")
    })
}

fn parent_target(
    key: &ObjectKey,
    parent: &ParentReference,
    inputs: &Inputs,
) -> Result<PolicyTarget, Refusal> {
    if parent.namespace.as_ref().is_some_and(|namespace| *namespace != key.namespace) {
        let message = "a policy attaches to objects of its own namespace only";
        return Err(Refusal::new("RefNotPermitted", message));
    }
    target(key, parent.kind.as_deref().unwrap_or_default(), &parent.name, inputs)
}

fn target_status(target: &TargetReference) -> StatusReference {
    StatusReference {
        group: target.group.clone(),
        kind: target.kind.clone(),
        namespace: None,
        name: target.name.clone(),
        section_name: target.section_name.clone(),
    }
}

fn target(key: &ObjectKey, kind: &str, name: &str, inputs: &Inputs) -> Result<PolicyTarget, Refusal> {
    let object = ObjectKey { namespace: key.namespace.clone(), name: name.to_owned() };
    let (exists, target) = match Kind::parse(kind) {
        Some(Kind::AiProviderRoute) => {
            (inputs.routes.contains_key(&object), PolicyTarget::Route(object.clone()))
        }
        Some(Kind::EgressGateway) => {
            (inputs.gateways.contains_key(&object), PolicyTarget::Gateway(object.clone()))
        }
        _ => {
            let message =
                "a policy attaches to an AIProviderRoute or an EgressGateway; other kinds are not supported";
            return Err(Refusal::new("Unsupported", message));
        }
    };
    if !exists {
        return Err(Refusal::new("TargetNotFound", format!("there is no {kind} {object}")));
    }
    Ok(target)
}

/// The credential of a policy, or why it has none.
pub(super) fn credential(key: &ObjectKey, spec: &Spec, inputs: &Inputs) -> Result<Secret, Unresolved> {
    let unresolved =
        |cause, reason, message: String| Unresolved { cause, refusal: Refusal::new(reason, message) };
    let reference = &spec.secret_ref;
    if reference.namespace.as_ref().is_some_and(|namespace| *namespace != key.namespace) {
        let message = "spec.secretRef: a Secret of another namespace may not be named".to_owned();
        return Err(unresolved(DenyCause::SecretNotFound, "RefNotPermitted", message));
    }
    let secret = ObjectKey { namespace: key.namespace.clone(), name: reference.name.clone() };
    let values = inputs.secrets.get(&secret).ok_or_else(|| {
        unresolved(DenyCause::SecretNotFound, "SecretNotFound", format!("there is no Secret {secret}"))
    })?;
    let value = values.get(&spec.secret_key).ok_or_else(|| {
        let message = format!("Secret {secret} has no key {}", spec.secret_key);
        unresolved(DenyCause::KeyNotFound, "KeyNotFound", message)
    })?;
    let invalid = |why: String| {
        let message = format!("Secret {secret}, key {}: {why}", spec.secret_key);
        unresolved(DenyCause::InvalidSecret, "InvalidSecret", message)
    };
    // Exposed to the check that makes a credential of it.
    let bytes = value.expose().ok_or_else(|| invalid("the value is not base64".to_owned()))?;
    Secret::credential(bytes).map_err(|unusable| invalid(unusable.to_string()))
}
