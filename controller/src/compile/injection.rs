//! A CredentialInjectionPolicy by itself: what it attaches to, which place it fills, and with which credential.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::api::credential_injection_policy::{ProviderAuth, ProviderAuthKind, Spec, Target};
use policy::api::reference::{ParentReference, TargetReference};
use policy::api::status::StatusReference;
use policy::api::{GROUP, Kind, SecretValue};
use policy::aws;
use policy::secret::Secret;
use policy::wire::{self, DenyCause};

use super::attach::status_reference;
use super::support::{self, Support};
use super::tokens::{self, Accounts, Maker, Source};
use super::values::header_name;
use super::verdict::Refusal;
use crate::google::ServiceAccount;
use crate::inputs::{Age, Inputs, Reduced};
use crate::plan::ObjectKey;

/// A policy, read. (No `Debug`: it holds a credential.)
pub(super) struct Policy {
    pub(super) age: Age,
    pub(super) generation: Option<i64>,
    pub(super) ancestors: Vec<Ancestor>,
    /// The places that it fills, where that much is sound: two policies on one target must not share one.
    pub(super) places: Option<Places>,
    pub(super) content: Result<Fill, Refusal>,
    /// The Secret that it names; rules that share one share a bucket where they can.
    pub(super) secret: ObjectKey,
    pub(super) credential: Result<Material, Unresolved>,
}

/// What a policy's credentials are made of. (No `Debug`: it holds one.)
pub(super) enum Material {
    /// One credential, as it is sealed.
    Value(Secret),
    /// Tokens of a service account.
    Token(Source),
}

/// Places of a request, as messages name them. Servers may take `_` for `-` (CGI, RFC 3875), so both spellings of a
/// header are one place.
pub(super) type Places = BTreeSet<String>;

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
    pub(super) target: wire::Target,
    pub(super) strip_headers: Vec<String>,
    pub(super) strip_query: Vec<String>,
}

impl Fill {
    /// What condition messages say of it.
    pub(super) fn describe(&self) -> String {
        match &self.target {
            wire::Target::Header { name, .. } => format!("fills the header {}", name.replace('_', "-")),
            wire::Target::Query { name } => format!("fills the query parameter {name}"),
            wire::Target::AwsV4 { service, .. } => format!("signs requests for the AWS service {service}"),
            wire::Target::GoogleToken {} | wire::Target::GoogleJwt { .. } => {
                "fills the header authorization with a Google token".to_owned()
            }
        }
    }
}

/// Why a policy has no credential: for the filter, and for status.
pub(super) struct Unresolved {
    pub(super) cause: DenyCause,
    pub(super) refusal: Refusal,
}

/// Reads a policy.
pub(super) fn read(
    key: &ObjectKey,
    policy: &Reduced<Spec>,
    inputs: &Inputs,
    accounts: &mut Accounts,
) -> Policy {
    let spec = &policy.spec;
    let content = content(spec);
    Policy {
        age: policy.age,
        generation: policy.generation,
        ancestors: ancestors(key, spec, inputs),
        places: target_of(spec).ok().as_ref().map(places),
        content,
        secret: ObjectKey { namespace: key.namespace.clone(), name: spec.secret_ref.name.clone() },
        credential: credential(key, spec, inputs, accounts),
    }
}

/// The places that a target fills.
fn places(target: &wire::Target) -> Places {
    let header = |name: &str| format!("header {}", name.replace('_', "-"));
    let parameter = target.parameter().map(|name| format!("query parameter {}", name.to_lowercase()));
    target.headers().map(header).chain(parameter).collect()
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
    let target = target_of(spec)?;
    let strip = |(index, name): (usize, &String)| {
        header_name(name).map_err(|why| format!("spec.stripHeaders[{index}]: {why}"))
    };
    let strip_headers = spec.strip_headers.iter().enumerate().map(strip).collect::<Result<_, _>>()?;
    if spec.strip_query.iter().any(String::is_empty) {
        return Err("spec.stripQuery: a name is empty".to_owned());
    }
    let strip_query = spec.strip_query.iter().map(|name| name.to_lowercase()).collect();
    Ok(Fill { target, strip_headers, strip_query })
}

/// The place that a policy fills, and how.
fn target_of(spec: &Spec) -> Result<wire::Target, String> {
    let of = |target, field: &str, there: bool| match (spec.target == target, there) {
        (true, false) => Err(format!("spec.{field} is missing; target: {target:?} needs it")),
        (false, true) => Err(format!("spec.{field} goes with target: {target:?} only")),
        _ => Ok(()),
    };
    of(Target::Header, "headerName", spec.header_name.is_some())?;
    of(Target::QueryParam, "queryParamName", spec.query_param_name.is_some())?;
    of(Target::ProviderAuth, "providerAuth", spec.provider_auth.is_some())?;
    if spec.target != Target::Header && spec.value_prefix.is_some() {
        return Err("spec.valuePrefix goes with target: Header only".to_owned());
    }
    match (&spec.header_name, &spec.query_param_name, &spec.provider_auth) {
        (Some(name), ..) => header(name, spec.value_prefix.as_deref().unwrap_or_default()),
        (_, Some(name), _) if name.is_empty() => Err("spec.queryParamName is empty".to_owned()),
        (_, Some(name), _) => Ok(wire::Target::Query { name: name.clone() }),
        (.., Some(auth)) => signature(auth),
        _ => Err("spec.target is missing".to_owned()),
    }
}

fn header(name: &str, prefix: &str) -> Result<wire::Target, String> {
    let name = header_name(name).map_err(|why| format!("spec.headerName: {why}"))?;
    if !prefix.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("spec.valuePrefix: use visible ASCII characters and spaces".to_owned());
    }
    Ok(wire::Target::Header { name, prefix: prefix.to_owned() })
}

fn signature(auth: &ProviderAuth) -> Result<wire::Target, String> {
    if auth.kind == ProviderAuthKind::GCPServiceAccount {
        return tokens::check(auth).map(|()| wire::Target::GoogleToken {});
    }
    if auth.gcp.is_some() {
        return Err("spec.providerAuth.gcp goes with type: GCPServiceAccount only".to_owned());
    }
    let part = |text: &Option<String>, field: &str, example: &str| match text {
        Some(text) if !aws::is_scope_part(text) => Err(format!(
            "spec.providerAuth.{field}: use lower-case letters, digits and hyphens, such as {example}"
        )),
        other => Ok(other.clone()),
    };
    let region = part(&auth.region, "region", "us-east-1")?;
    let service = part(&auth.service, "service", DEFAULT_SERVICE)?;
    Ok(wire::Target::AwsV4 { region, service: service.unwrap_or_else(|| DEFAULT_SERVICE.to_owned()) })
}

/// What requests are signed for when `providerAuth.service` is absent.
const DEFAULT_SERVICE: &str = "bedrock";

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

/// What the credentials of a policy are made of, or why it has none.
pub(super) fn credential(
    key: &ObjectKey,
    spec: &Spec,
    inputs: &Inputs,
    accounts: &mut Accounts,
) -> Result<Material, Unresolved> {
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
    let read = Read { secret: &secret, values };
    match (spec.provider_auth.as_ref().map(|auth| auth.kind), Maker::of(key, spec)) {
        (_, Some(maker)) => {
            let account = read.account(&spec.secret_key, accounts)?;
            Ok(Material::Token(Source::new(account, maker)))
        }
        (Some(ProviderAuthKind::AWSv4), None) => read.aws_keys().map(Material::Value),
        (_, None) => read.credential(&spec.secret_key).map(Material::Value),
    }
}

/// What becomes of the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueUse {
    /// It is a credential, or a part of one.
    Credential,
    /// Tokens are made of it.
    TokenSource,
}

/// Whether a policy could use this value of a key that it reads, and for what.
///
/// # Errors
/// Why it could not; never the value.
pub(crate) fn judge(spec: &Spec, key: &str, value: &[u8]) -> Result<ValueUse, String> {
    match spec.provider_auth.as_ref().map(|auth| auth.kind) {
        Some(ProviderAuthKind::GCPServiceAccount) => match ServiceAccount::parse(value) {
            Ok(_) => Ok(ValueUse::TokenSource),
            Err(error) => Err(error.to_string()),
        },
        Some(ProviderAuthKind::AWSv4) => match aws::check_part(key, value) {
            Ok(()) => Ok(ValueUse::Credential),
            Err(unusable) => Err(unusable.to_string()),
        },
        None => match Secret::credential(value) {
            Ok(_) => Ok(ValueUse::Credential),
            Err(unusable) => Err(unusable.to_string()),
        },
    }
}

/// A Secret that a policy reads.
struct Read<'a> {
    secret: &'a ObjectKey,
    values: &'a BTreeMap<String, SecretValue>,
}

impl Read<'_> {
    /// The value of a key; what becomes of it is said by whoever exposes it.
    fn value(&self, key: &str) -> Result<&[u8], Unresolved> {
        let value = self.values.get(key).ok_or_else(|| {
            let message = format!("Secret {} has no key {key}", self.secret);
            Unresolved { cause: DenyCause::KeyNotFound, refusal: Refusal::new("KeyNotFound", message) }
        })?;
        value.expose().ok_or_else(|| self.invalid(key, "the value is not base64"))
    }

    fn invalid(&self, key: &str, why: impl std::fmt::Display) -> Unresolved {
        let message = format!("Secret {}, key {key}: {why}", self.secret);
        Unresolved { cause: DenyCause::InvalidSecret, refusal: Refusal::new("InvalidSecret", message) }
    }

    fn credential(&self, key: &str) -> Result<Secret, Unresolved> {
        // Exposed to the check that makes a credential of it.
        Secret::credential(self.value(key)?).map_err(|unusable| self.invalid(key, unusable))
    }

    fn account(&self, key: &str, accounts: &mut Accounts) -> Result<Arc<ServiceAccount>, Unresolved> {
        // Exposed to be read as an account, which keeps its key to itself.
        accounts.of(self.secret, key, self.value(key)?).map_err(|error| self.invalid(key, error))
    }

    /// The keys of an AWS account, as they are sealed.
    fn aws_keys(&self) -> Result<Secret, Unresolved> {
        let [id, key, token] = aws::SECRET_KEYS;
        let session = self.values.contains_key(token).then(|| self.value(token)).transpose()?;
        // Exposed to be checked and joined; the result is a secret again.
        aws::Keys::join(self.value(id)?, self.value(key)?, session)
            .map_err(|error| self.invalid(error.part, error.unusable))
    }
}
