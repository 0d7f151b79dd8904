//! What is not built yet, in one table: which fields and kinds are refused, and which are accepted without effect.
//!
//! A field or kind whose absence would weaken access or a credential is refused by name; one that only adds output is
//! accepted and reported. The compiler asks this table and nothing else; the documentation is generated from it.

use policy::api::ai_provider_route::Rule;
use policy::api::credential_injection_policy;
use policy::api::egress_gateway::{self, DataPlane, Listener};
use policy::api::{Kind, ai_provider_route, egress_l4_route};

use super::collector;

/// What becomes of an object that uses a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// `Accepted=False`, reason `Unsupported`.
    Refused,
    /// `Accepted=True`, and a condition `PartiallySupported` that names the field.
    Partial,
}

/// A field of a part of a spec.
pub struct Field<S> {
    /// How messages name it, below the part that it belongs to.
    pub name: &'static str,
    /// What becomes of an object that uses it.
    pub support: Support,
    /// Whether it is used.
    used: fn(&S) -> bool,
}

impl<S> Field<S> {
    const fn refused(name: &'static str, used: fn(&S) -> bool) -> Self {
        Field { name, support: Support::Refused, used }
    }

    const fn partial(name: &'static str, used: fn(&S) -> bool) -> Self {
        Field { name, support: Support::Partial, used }
    }
}

/// Bodies that are shown to nobody: an inspector sees them without a collector.
pub(super) const CAPTURE_FOR_NOBODY: &str = "otlp.captureBody (without otlp.endpoint)";

/// Fields of an EgressGateway's spec.
pub const GATEWAY: &[Field<egress_gateway::Spec>] = &[
    Field::partial(CAPTURE_FOR_NOBODY, |spec| {
        spec.otlp.as_ref().is_some_and(|otlp| otlp.capture_body.is_some() && otlp.endpoint.is_none())
    }),
    Field::partial("otlp.captureBody.maxBytes (beyond 65536)", |spec| {
        let capture = spec.otlp.as_ref().and_then(|otlp| otlp.capture_body.as_ref());
        let most = capture.and_then(|capture| capture.max_bytes);
        most.is_some_and(|most| most > collector::MOST_SHOWN.into())
    }),
    Field::partial("extProc", |spec| spec.ext_proc.is_some()),
    Field::partial("infrastructure", |spec| spec.infrastructure.is_some()),
    Field::refused("dataPlane (other than Keyward)", |spec| spec.data_plane != DataPlane::Keyward),
];

/// Fields of one of its listeners.
pub const LISTENER: &[Field<Listener>] = &[
    Field::refused("tls.caCertRef", |listener| {
        listener.tls.as_ref().is_some_and(|tls| tls.ca_cert_ref.is_some())
    }),
    Field::refused("callers", |listener| listener.callers.is_some()),
];

/// Fields of one rule of an AIProviderRoute.
pub const ROUTE_RULE: &[Field<Rule>] = &[
    Field::refused("filters", |rule: &ai_provider_route::Rule| !rule.filters.is_empty()),
    Field::refused("backendRefs", |rule| !rule.backend_refs.is_empty()),
];

/// Fields of a CredentialInjectionPolicy's spec.
pub const POLICY: &[Field<credential_injection_policy::Spec>] =
    &[Field::refused("credentialSelector", |spec| spec.credential_selector.is_some())];

/// Fields of an EgressL4Route's spec.
pub const L4_ROUTE: &[Field<egress_l4_route::Spec>] =
    &[Field::refused("sourceAgents", |spec| spec.source_agents.is_some())];

/// Fields of one of its rules.
pub const L4_RULE: &[Field<egress_l4_route::Rule>] =
    &[Field::refused("sourceAgents", |rule| rule.source_agents.is_some())];

/// Fields of one of their matches.
pub const L4_MATCH: &[Field<egress_l4_route::Match>] =
    &[Field::refused("sourceAgents", |one| one.source_agents.is_some())];

/// Kinds that are accepted by the API and refused in status.
pub const KINDS: &[Kind] =
    &[Kind::Backend, Kind::FallbackRoutingPolicy, Kind::RateLimitPolicy, Kind::LoggingPolicy, Kind::McpRoute];

/// The used fields of a part, full names, of one kind of support.
pub(super) fn used<S>(table: &[Field<S>], support: Support, part: &S, prefix: &str) -> Vec<String> {
    table
        .iter()
        .filter(|field| field.support == support && (field.used)(part))
        .map(|field| format!("{prefix}.{}", field.name))
        .collect()
}

/// One line of the table, for the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// The field; `None` speaks of the whole kind.
    pub field: Option<String>,
    /// What becomes of an object that uses it.
    pub support: Support,
}

/// The whole table, in the order of the kinds.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    push(&mut rows, Kind::EgressGateway, "spec", GATEWAY);
    push(&mut rows, Kind::EgressGateway, "spec.listeners[]", LISTENER);
    push(&mut rows, Kind::AiProviderRoute, "spec.rules[]", ROUTE_RULE);
    push(&mut rows, Kind::CredentialInjectionPolicy, "spec", POLICY);
    push(&mut rows, Kind::EgressL4Route, "spec", L4_ROUTE);
    push(&mut rows, Kind::EgressL4Route, "spec.rules[]", L4_RULE);
    push(&mut rows, Kind::EgressL4Route, "spec.rules[].matches[]", L4_MATCH);
    rows.extend(KINDS.iter().map(|kind| Row { kind: *kind, field: None, support: Support::Refused }));
    rows
}

fn push<S>(rows: &mut Vec<Row>, kind: Kind, prefix: &str, table: &[Field<S>]) {
    rows.extend(table.iter().map(|field| Row {
        kind,
        field: Some(format!("{prefix}.{}", field.name)),
        support: field.support,
    }));
}
