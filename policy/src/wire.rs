//! The contract between whoever configures the filter and the filter: one versioned JSON document.
//!
//! The controller writes it, the filter reads it, and both turn it into rules with [`crate::rules::RuleSet::compile`].
//! It is tied to neither Kubernetes nor Envoy. What many rules share (endpoints, methods, carriers, targets) stands once
//! in a table and is named by index, so that ten thousand hosts stay small.

use serde::{Deserialize, Serialize};

use crate::aws;
use crate::provider::Provider;

/// The version that this crate writes.
pub const VERSION: u32 = 1;

/// The versions that this crate reads. The module carries them in its custom section `keyward.config_versions`.
pub const VERSIONS_READ: &[u32] = &[1];

/// The request header of [`ConnectionFacts::Header`].
pub const CONNECTION_HEADER: &str = "x-keyward-connection";

/// The plugin configuration of one filter: a bucket of rules, or the guard (no rules). `R` is how a rule is held: read,
/// or as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config<R = Rule> {
    /// [`VERSION`].
    pub version: u32,
    /// `namespace/name` of the gateway; part of what every seal is bound to.
    pub gateway: String,
    /// How the agent's bytes reach this filter.
    pub agent_side: AgentSide,
    /// Where the filter reads what the listener knows about the connection. Absent means `FilterState`.
    #[serde(default, skip_serializing_if = "is_filter_state")]
    pub connection_facts: ConnectionFacts,
    /// How records are written. Absent means `Json`.
    #[serde(default, skip_serializing_if = "is_json")]
    pub record: RecordText,
    /// What is told of each request, and to whom. Absent means records alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// What of answers is cleaned of credentials besides their headers. Absent means nothing.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub scrub: Scrub,
    /// What happens to a request whose host a rule names, and whose endpoint and method none does.
    pub unlisted: Unlisted,
    /// What happens to a request whose host no rule names. Absent means `Deny`: a bucket meets such a host only while
    /// it moves to another one, and then nothing may pass unstripped.
    #[serde(default = "deny", skip_serializing_if = "is_deny")]
    pub other_hosts: Unlisted,
    /// Tables of endpoint globs, each sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Vec<String>>,
    /// Tables of methods, each sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Vec<String>>,
    /// Tables of models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Models>,
    /// The largest body that a request may be held back with, in bytes: to sign over it, or to read its model. Absent
    /// means 8 MiB.
    #[serde(default = "eight_mebibytes", skip_serializing_if = "is_eight_mebibytes")]
    pub max_held_body: u32,
    /// Tables of what may carry a credential on a rule's hosts and is therefore stripped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carriers: Vec<Carriers>,
    /// A table of places that a credential fills.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// The rules. Their order here means nothing: one that forbids wins, else the most specific one, then the lowest
    /// [`Rule::rank`].
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<R>,
}

impl<R> Config<R> {
    /// The configuration without its rules, and the rules.
    pub(crate) fn split(self) -> (Config, Vec<R>) {
        let Config { version, gateway, agent_side, connection_facts, record, telemetry, .. } = self;
        let Config { scrub, unlisted, other_hosts, endpoints, methods, models, max_held_body, .. } = self;
        let Config { carriers, targets, rules, .. } = self;
        let frame = Config {
            version,
            gateway,
            agent_side,
            connection_facts,
            record,
            telemetry,
            scrub,
            unlisted,
            other_hosts,
            endpoints,
            methods,
            models,
            max_held_body,
            carriers,
            targets,
            rules: Vec::new(),
        };
        (frame, rules)
    }
}

/// How the agent's bytes reach the filter. A seal covers it: a value sealed for `Tls` does not open elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", from = "StrictAgentSide")]
pub enum AgentSide {
    /// TLS ends in the filter's own listener: SNI, authority and CONNECT target are compared.
    Tls,
    /// Another proxy ended TLS before us; only requests routed to these Envoy clusters may get a credential.
    TrustedPlaintext {
        /// Names of the upstream clusters allowed, sorted.
        clusters: Vec<String>,
    },
}

/// Where the filter reads what the listener knows about the connection ([`crate::decide::Facts::parse`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionFacts {
    /// In the filter state `keyward.connection`, which no agent can write. One more host call for each request.
    #[default]
    FilterState,
    /// In the request header [`CONNECTION_HEADER`]. Only where the listener overwrites the header before any filter
    /// sees it, or removes it where there is no TLS (`early_header_mutation_extensions`), and every route removes it
    /// (`request_headers_to_remove`): elsewhere an agent would write the facts itself.
    Header,
}

/// How a record is written into the filter state `wasm.keyward`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordText {
    /// Compact JSON.
    #[default]
    Json,
    /// The same with its quotes exchanged ([`crate::record::exchange_quotes`]), so that Envoy's JSON access log seldom
    /// has to escape anything in it: text that needs no escape is copied.
    Exchanged,
}

/// What is told of requests besides what was decided. Where it is there, models and tokens are read from bodies, and
/// stand in records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Where spans go: each of them gets every span.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collectors: Vec<Collector>,
    /// What spans show of bodies. Absent means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
}

/// What of the answers to a rule's requests is cleaned besides their headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scrub {
    /// Bodies, of credentials.
    #[serde(default)]
    pub bodies: bool,
    /// Heads, of `set-cookie`.
    #[serde(default)]
    pub set_cookie: bool,
}

/// Which bodies spans show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Bytes of each body at most, decoded.
    pub max_bytes: u32,
    /// Media types, lower-case.
    pub content_types: Vec<String>,
}

/// A collector that takes spans over OTLP/HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collector {
    /// The Envoy cluster that leads to it.
    pub cluster: String,
    /// Its `:authority`.
    pub authority: String,
    /// Path and query that spans are posted to.
    pub path: String,
    /// Headers that go with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<CollectorHeader>,
}

/// A header for a collector. Its value may be a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorHeader {
    /// Lower-case name.
    pub name: String,
    /// The sealed value ([`crate::seal`]).
    pub sealed: String,
}

/// What happens to a request that no rule covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unlisted {
    /// Forward without a credential; on a host that a rule names, strip that host's carriers first.
    Pass,
    /// Refuse with 403.
    Deny,
}

/// Names under which a credential can travel on a host, lower-case and sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carriers {
    /// Header names.
    pub headers: Vec<String>,
    /// Query parameter names (decoded form).
    pub query: Vec<String>,
    /// Members of comma-separated headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

impl Carriers {
    /// Those of a provider.
    #[must_use]
    pub fn of(provider: Provider) -> Carriers {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let member = |(header, prefix): &(&str, &str)| Member {
            header: (*header).to_owned(),
            prefix: (*prefix).to_owned(),
        };
        Carriers {
            headers: texts(provider.header_carriers()),
            query: texts(provider.query_carriers()),
            members: provider.member_carriers().iter().map(member).collect(),
        }
    }
}

/// Members of a comma-separated header (RFC 9110, 5.6.1) that carry a credential, such as
/// `openai-insecure-api-key.…` among the subprotocols that a WebSocket offers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Lower-case name of the header.
    pub header: String,
    /// What such a member starts with, in lower case.
    pub prefix: String,
}

/// Models that a rule is for, and where a request names its model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Where it is read.
    pub source: ModelSource,
    /// Globs ([`crate::glob::Glob`]), sorted. A model's name may hold slashes; `*` does not cross them.
    pub globs: Vec<String>,
}

/// Where a request names its model ([`crate::model`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelSource {
    /// The member `model` of its JSON body. Of an upgrade, which has none: the query parameter `model`.
    Body,
    /// The path, after `/models/`; else as [`ModelSource::Body`].
    Google,
    /// The path, after `/deployments/`; else as [`ModelSource::Body`].
    Azure,
    /// The path, after `/model/`.
    Bedrock,
}

/// One rule: which requests, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `namespace/name` of the route that the rule came from.
    pub route: String,
    /// Order among equally specific rules: lower wins. Absent means 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rank: u32,
    /// Host patterns ([`crate::host::HostPattern`]), lower-case and sorted.
    pub hosts: Vec<String>,
    /// Ports of those hosts. Absent means 443 alone.
    #[serde(default = "https", skip_serializing_if = "is_https")]
    pub ports: Vec<u16>,
    /// Index into [`Config::endpoints`]; absent means any path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
    /// Index into [`Config::methods`]; absent means the default methods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<u32>,
    /// Index into [`Config::models`]; absent means any model, and none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<u32>,
    /// Index into [`Config::carriers`]. Absent means 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub carriers: u32,
    /// What becomes of a request that matches.
    pub then: Outcome,
}

/// What becomes of a request that matches a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Fill these places, each with its credential.
    Inject(Vec<Injection>),
    /// Refuse: the configuration cannot be carried out (a missing Secret, an unsupported field), or forbids the request.
    Deny(DenyCause),
}

/// Why a rule injects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyCause {
    /// The policy names a Secret that does not exist.
    SecretNotFound,
    /// The Secret lacks the key.
    KeyNotFound,
    /// The value cannot be used as a credential.
    InvalidSecret,
    /// No policy gives this route a credential.
    NoPolicy,
    /// The route or its policy was refused for its own content.
    RouteRefused,
    /// Neither the policy nor the host says which AWS region a request is to be signed for.
    RegionUnknown,
    /// The Google token that the request needs was not obtained.
    TokenUnavailable,
    /// An EgressDenyPolicy forbids what the route matches. Such a rule goes before every other one.
    RouteDenied,
}

/// One place of the request and the credential that fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// `namespace/name` of the policy; telemetry's id of the credential.
    pub policy: String,
    /// Index into [`Config::targets`]: the place. Absent means 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub target: u32,
    /// The sealed credential ([`crate::seal`]).
    pub sealed: String,
}

/// A place of the request that a credential fills.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// One header, with exactly one value.
    Header {
        /// Lower-case name.
        name: String,
        /// Put before the value unless it already starts with it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// One query parameter, once.
    Query {
        /// Decoded name. Another spelling or case of it is the same parameter.
        name: String,
    },
    /// The request is signed with AWS Signature Version 4. The credential holds the keys ([`crate::aws::Keys`]).
    AwsV4 {
        /// Absent means the host's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// The signing name, such as `bedrock`.
        service: String,
    },
    /// `authorization: Bearer` with a token that ends ([`crate::rules::Token`]).
    GoogleToken {},
    /// `authorization: Bearer` with a token that the filter signs by the key of a Google service account
    /// ([`crate::google::Account`]). For an Envoy without a controller.
    GoogleJwt {
        /// The token's scopes, sorted. Without any it has an audience.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// Absent means `https://<host>/`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
    },
}

impl Target {
    /// The header that carries the credential; `None`: it travels in the query.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        match self {
            Target::Header { name, .. } => Some(name),
            Target::Query { .. } => None,
            Target::AwsV4 { .. } | Target::GoogleToken {} | Target::GoogleJwt { .. } => Some("authorization"),
        }
    }

    /// The query parameter that carries it.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Target::Query { name } => Some(name),
            _ => None,
        }
    }

    /// Whether requests are signed, over their bodies.
    #[must_use]
    pub fn signs(&self) -> bool {
        matches!(self, Target::AwsV4 { .. })
    }

    /// Every header that is replaced: the one that carries the credential, and what else belongs to a signature.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        let of_signature = aws::REMOVED_HEADERS.into_iter().filter(|_| self.signs());
        self.header().into_iter().filter(|_| !self.signs()).chain(of_signature)
    }

    /// Every query parameter that is removed: the one that carries the credential, or those of a presigned URL.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameter().into_iter().chain(aws::REMOVED_QUERY.into_iter().filter(|_| self.signs()))
    }
}

/// How [`AgentSide`] is read: serde ignores unknown fields beside a unit variant, whatever it is told.
#[derive(Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
enum StrictAgentSide {
    Tls {},
    TrustedPlaintext { clusters: Vec<String> },
}

impl From<StrictAgentSide> for AgentSide {
    fn from(read: StrictAgentSide) -> Self {
        match read {
            StrictAgentSide::Tls {} => AgentSide::Tls,
            StrictAgentSide::TrustedPlaintext { clusters } => AgentSide::TrustedPlaintext { clusters },
        }
    }
}

fn deny() -> Unlisted {
    Unlisted::Deny
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_deny(unlisted: &Unlisted) -> bool {
    *unlisted == Unlisted::Deny
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_filter_state(facts: &ConnectionFacts) -> bool {
    *facts == ConnectionFacts::FilterState
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_nothing(scrub: &Scrub) -> bool {
    *scrub == Scrub::default()
}

fn is_json(record: &RecordText) -> bool {
    *record == RecordText::Json
}

/// [`Config::max_held_body`] where it is absent.
pub const DEFAULT_MAX_HELD_BODY: u32 = 8 << 20;

fn eight_mebibytes() -> u32 {
    DEFAULT_MAX_HELD_BODY
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_eight_mebibytes(bytes: &u32) -> bool {
    *bytes == DEFAULT_MAX_HELD_BODY
}

fn https() -> Vec<u16> {
    vec![443]
}

fn is_https(ports: &Vec<u16>) -> bool {
    *ports == [443]
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(rank: &u32) -> bool {
    *rank == 0
}
