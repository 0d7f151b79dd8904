//! A manifest: one object of any kind, decoded by its `apiVersion` and `kind`.

use serde_json::{Map, Value};

use super::decode::decode;
use super::error::{Cause, FieldPath, Identity, ManifestError, Step};
use super::{
    API_VERSION, AiProviderRoute, Backend, CredentialInjectionPolicy, EgressDenyPolicy, EgressGateway,
    EgressL4Route, FallbackRoutingPolicy, LoggingPolicy, McpRoute, Metadata, Namespace, RateLimitPolicy,
    Secret,
};

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `AIProviderRoute`
    AiProviderRoute,
    /// `Backend`
    Backend,
    /// `CredentialInjectionPolicy`
    CredentialInjectionPolicy,
    /// `EgressDenyPolicy`
    EgressDenyPolicy,
    /// `EgressGateway`
    EgressGateway,
    /// `EgressL4Route`
    EgressL4Route,
    /// `FallbackRoutingPolicy`
    FallbackRoutingPolicy,
    /// `LoggingPolicy`
    LoggingPolicy,
    /// `MCPRoute`
    McpRoute,
    /// `Namespace`
    Namespace,
    /// `RateLimitPolicy`
    RateLimitPolicy,
    /// `Secret`
    Secret,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 12] = [
        Kind::AiProviderRoute,
        Kind::Backend,
        Kind::CredentialInjectionPolicy,
        Kind::EgressDenyPolicy,
        Kind::EgressGateway,
        Kind::EgressL4Route,
        Kind::FallbackRoutingPolicy,
        Kind::LoggingPolicy,
        Kind::McpRoute,
        Kind::Namespace,
        Kind::RateLimitPolicy,
        Kind::Secret,
    ];

    /// The word in `kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::AiProviderRoute => "AIProviderRoute",
            Kind::Backend => "Backend",
            Kind::CredentialInjectionPolicy => "CredentialInjectionPolicy",
            Kind::EgressDenyPolicy => "EgressDenyPolicy",
            Kind::EgressGateway => "EgressGateway",
            Kind::EgressL4Route => "EgressL4Route",
            Kind::FallbackRoutingPolicy => "FallbackRoutingPolicy",
            Kind::LoggingPolicy => "LoggingPolicy",
            Kind::McpRoute => "MCPRoute",
            Kind::Namespace => "Namespace",
            Kind::RateLimitPolicy => "RateLimitPolicy",
            Kind::Secret => "Secret",
        }
    }

    /// The `apiVersion` that goes with it.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Kind::Namespace | Kind::Secret => "v1",
            _ => API_VERSION,
        }
    }

    /// Whether its objects stand in a namespace.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Kind::Namespace)
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One object of any kind. (No `Debug`: it may hold a Secret.)
#[derive(Clone, PartialEq, Eq)]
pub enum Manifest {
    /// `AIProviderRoute`
    AiProviderRoute(AiProviderRoute),
    /// `Backend`
    Backend(Backend),
    /// `CredentialInjectionPolicy`
    CredentialInjectionPolicy(Box<CredentialInjectionPolicy>),
    /// `EgressDenyPolicy`
    EgressDenyPolicy(EgressDenyPolicy),
    /// `EgressGateway`
    EgressGateway(Box<EgressGateway>),
    /// `EgressL4Route`
    EgressL4Route(EgressL4Route),
    /// `FallbackRoutingPolicy`
    FallbackRoutingPolicy(FallbackRoutingPolicy),
    /// `LoggingPolicy`
    LoggingPolicy(LoggingPolicy),
    /// `MCPRoute`
    McpRoute(McpRoute),
    /// `Namespace`
    Namespace(Namespace),
    /// `RateLimitPolicy`
    RateLimitPolicy(RateLimitPolicy),
    /// `Secret`
    Secret(Secret),
}

impl Manifest {
    /// Decodes one object.
    ///
    /// # Errors
    /// Anything unknown in it, wrong or missing; the error names the object, the field and a remedy, never a value.
    pub fn from_value(value: Value) -> Result<Manifest, ManifestError> {
        let identity = identify(&value);
        let refuse = |(path, cause)| ManifestError {
            path: masked(&identity, path),
            cause,
            identity: Box::new(identity.clone()),
        };
        let kind = kind_of(&value, &identity).map_err(refuse)?;
        let manifest = decode_kind(kind, without_type(value)).map_err(refuse)?;
        check_names(kind, manifest.metadata()).map_err(refuse)?;
        Ok(manifest)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Manifest::AiProviderRoute(_) => Kind::AiProviderRoute,
            Manifest::Backend(_) => Kind::Backend,
            Manifest::CredentialInjectionPolicy(_) => Kind::CredentialInjectionPolicy,
            Manifest::EgressDenyPolicy(_) => Kind::EgressDenyPolicy,
            Manifest::EgressGateway(_) => Kind::EgressGateway,
            Manifest::EgressL4Route(_) => Kind::EgressL4Route,
            Manifest::FallbackRoutingPolicy(_) => Kind::FallbackRoutingPolicy,
            Manifest::LoggingPolicy(_) => Kind::LoggingPolicy,
            Manifest::McpRoute(_) => Kind::McpRoute,
            Manifest::Namespace(_) => Kind::Namespace,
            Manifest::RateLimitPolicy(_) => Kind::RateLimitPolicy,
            Manifest::Secret(_) => Kind::Secret,
        }
    }

    /// The metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        match self {
            Manifest::AiProviderRoute(object) => &object.metadata,
            Manifest::CredentialInjectionPolicy(object) => &object.metadata,
            Manifest::EgressDenyPolicy(object) => &object.metadata,
            Manifest::EgressGateway(object) => &object.metadata,
            Manifest::EgressL4Route(object) => &object.metadata,
            Manifest::Backend(object)
            | Manifest::FallbackRoutingPolicy(object)
            | Manifest::LoggingPolicy(object)
            | Manifest::McpRoute(object)
            | Manifest::RateLimitPolicy(object) => &object.metadata,
            Manifest::Namespace(object) => &object.metadata,
            Manifest::Secret(object) => &object.metadata,
        }
    }
}

type Refused = (FieldPath, Cause);

fn decode_kind(kind: Kind, value: Value) -> Result<Manifest, Refused> {
    Ok(match kind {
        Kind::AiProviderRoute => Manifest::AiProviderRoute(decode(value)?),
        Kind::Backend => Manifest::Backend(decode(value)?),
        Kind::CredentialInjectionPolicy => Manifest::CredentialInjectionPolicy(decode(value)?),
        Kind::EgressDenyPolicy => Manifest::EgressDenyPolicy(decode(value)?),
        Kind::EgressGateway => Manifest::EgressGateway(decode(value)?),
        Kind::EgressL4Route => Manifest::EgressL4Route(decode(value)?),
        Kind::FallbackRoutingPolicy => Manifest::FallbackRoutingPolicy(decode(value)?),
        Kind::LoggingPolicy => Manifest::LoggingPolicy(decode(value)?),
        Kind::McpRoute => Manifest::McpRoute(decode(value)?),
        Kind::Namespace => Manifest::Namespace(decode(value)?),
        Kind::RateLimitPolicy => Manifest::RateLimitPolicy(decode(value)?),
        Kind::Secret => Manifest::Secret(decode(value)?),
    })
}

fn identify(value: &Value) -> Identity {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
    Identity {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    }
}

fn kind_of(value: &Value, identity: &Identity) -> Result<Kind, Refused> {
    let here = FieldPath::default();
    if !value.is_object() {
        return Err((here, Cause::NotAnObject));
    }
    let word = identity.kind.as_deref().ok_or((here.clone(), Cause::MissingField("kind")))?;
    let found = identity.api_version.as_deref().ok_or((here, Cause::MissingField("apiVersion")))?;
    let kind = Kind::parse(word).ok_or_else(|| (field("kind"), Cause::UnknownKind(word.to_owned())))?;
    if found != kind.api_version() {
        let (found, expected) = (found.to_owned(), kind.api_version());
        return Err((field("apiVersion"), Cause::WrongApiVersion { kind: kind.as_str(), found, expected }));
    }
    Ok(kind)
}

fn field(name: &str) -> FieldPath {
    FieldPath(vec![Step::Field(name.to_owned())])
}

/// The fields that the kind's type has.
fn without_type(value: Value) -> Value {
    let Value::Object(mut fields) = value else { return Value::Object(Map::new()) };
    fields.remove("apiVersion");
    fields.remove("kind");
    Value::Object(fields)
}

/// Keys of a Secret are not repeated: `{sk-…}` is a key to YAML.
fn masked(identity: &Identity, path: FieldPath) -> FieldPath {
    if identity.kind.as_deref() != Some("Secret") {
        return path;
    }
    let mut steps = path.0;
    if matches!(steps.first(), Some(Step::Field(name)) if name == "data" || name == "stringData") {
        steps.truncate(1);
    }
    FieldPath(steps)
}

fn check_names(kind: Kind, metadata: &Metadata) -> Result<(), Refused> {
    let place =
        |name: &str| FieldPath(vec![Step::Field("metadata".to_owned()), Step::Field(name.to_owned())]);
    if !is_subdomain(&metadata.name) {
        return Err((place("name"), Cause::InvalidName));
    }
    match &metadata.namespace {
        Some(_) if !kind.is_namespaced() => {
            Err((place("namespace"), Cause::UnknownField { field: "namespace".to_owned(), known: &[] }))
        }
        Some(namespace) if !is_subdomain(namespace) => Err((place("namespace"), Cause::InvalidName)),
        _ => Ok(()),
    }
}

/// RFC 1123 subdomain, as Kubernetes wants names. They become names of Envoy resources and part of seals.
fn is_subdomain(name: &str) -> bool {
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            edge(bytes.first())
                && edge(bytes.last())
                && bytes.iter().all(|byte| edge(Some(byte)) || *byte == b'-')
        })
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
