//! `EgressGateway`: listeners that agents use, and how upstreams are reached from them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::label_selector::LabelSelector;
use super::reference::SecretReference;
use super::secret::SecretText;
use super::status::GatewayStatus;
use super::{Object, Opaque};

/// One gateway: one Envoy, one CA, one set of rules.
pub type EgressGateway = Object<Spec, GatewayStatus>;

/// What a gateway wants. (No `Debug`: telemetry headers may hold a token.)
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// What happens to hosts that no route names.
    #[serde(default)]
    pub default_policy: DefaultPolicy,
    /// Where agents come in.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Whether hosts that no route names are intercepted under `allow-all`.
    #[serde(default)]
    pub interception: Interception,
    /// Telemetry.
    pub otlp: Option<Otlp>,
    /// Era 1: interception and capture, which later manifests say elsewhere.
    pub ext_proc: Option<ExtProc>,
    /// How upstream certificates are verified and names overridden.
    #[serde(rename = "upstreamTLS")]
    pub upstream_tls: Option<UpstreamTls>,
    /// A proxy that upstream connections go through.
    pub upstream_proxy: Option<UpstreamProxy>,
    /// How upstream names are resolved.
    pub dns: Option<Dns>,
    /// Go duration; bounds silence, never the length of an answer.
    pub request_timeout: Option<String>,
    /// CIDRs exempt from the private-address guard.
    #[serde(default)]
    pub allowed_private_networks: Vec<String>,
    /// Largest body buffered for signing.
    pub max_signed_body_bytes: Option<Quantity>,
    /// What of responses is scrubbed besides headers.
    #[serde(default)]
    pub scrub: Vec<Scrub>,
    /// The Envoys that the controller runs in a cluster.
    pub infrastructure: Option<Infrastructure>,
    /// Who runs the Envoy.
    #[serde(default)]
    pub data_plane: DataPlane,
}

/// What happens to hosts that no route names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefaultPolicy {
    /// They are reached, without a credential.
    AllowAll,
    /// They are refused.
    #[default]
    DenyAll,
}

/// Whether hosts that no route names are intercepted under `allow-all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Interception {
    /// Every host.
    #[default]
    All,
    /// Only hosts that a route names.
    Routes,
}

/// Where agents come in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Listener {
    /// Name, unique in the gateway.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// The destination port served; absent means any.
    pub port: Option<u16>,
    /// What becomes of TLS.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    pub allowed_routes: Option<AllowedRoutes>,
    /// Who may use it.
    pub callers: Option<Callers>,
}

/// Protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TLS.
    Tls,
    /// Bytes.
    Tcp,
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// Datagrams; refused in status.
    Udp,
}

/// What becomes of TLS at a listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ListenerTls {
    /// Ended here, or passed on.
    #[serde(default)]
    pub mode: TlsMode,
    /// A CA of the operator's own (`tls.crt`, `tls.key`).
    pub ca_cert_ref: Option<SecretReference>,
}

/// Whether TLS ends at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum TlsMode {
    /// Passed on by SNI, never touched.
    #[default]
    Passthrough,
    /// Intercepted.
    Terminate,
}

/// Gateway API's `AllowedRoutes`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: Option<RouteNamespaces>,
    /// Of which kinds; empty means every kind that fits.
    #[serde(default)]
    pub kinds: Vec<RouteGroupKind>,
}

/// Gateway API's `RouteNamespaces`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteNamespaces {
    /// Which ones.
    #[serde(default)]
    pub from: FromNamespaces,
    /// By their labels, for [`FromNamespaces::Selector`]; ignored otherwise, as Gateway API has it.
    pub selector: Option<LabelSelector>,
}

/// Gateway API's `FromNamespaces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum FromNamespaces {
    /// The gateway's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those with the labels.
    Selector,
    /// None.
    None,
}

/// Gateway API's `RouteGroupKind`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteGroupKind {
    /// API group; absent means Gateway API's own.
    pub group: Option<String>,
    /// Kind.
    pub kind: String,
}

/// Who may use a listener.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Callers {
    /// CA of the client certificates.
    #[serde(rename = "clientCASecretRef")]
    pub client_ca_secret_ref: Option<SecretReference>,
    /// Users and password hashes.
    pub proxy_users_secret_ref: Option<SecretReference>,
}

/// Telemetry. (No `Debug`: headers may hold a token.)
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Otlp {
    /// OTLP/HTTP base URL.
    pub endpoint: Option<String>,
    /// Headers sent to the collector.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretText>,
    /// Headers from a Secret.
    pub headers_secret_ref: Option<SecretReference>,
    /// Bodies recorded.
    pub capture_body: Option<CaptureBody>,
}

/// Era 1: external processing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtProc {
    /// Whether it was on.
    pub enabled: Option<bool>,
    /// Bodies recorded.
    pub capture_body: Option<CaptureBody>,
}

/// Which bodies are recorded, and how much of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CaptureBody {
    /// Era 1: whether it was on.
    pub enabled: Option<bool>,
    /// Bytes of each body.
    pub max_bytes: Option<u64>,
    /// Content types recorded.
    #[serde(default)]
    pub include_content_types: Vec<String>,
}

/// How upstream certificates are verified and names overridden.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UpstreamTls {
    /// Certificates trusted besides the system's: every PEM in the Secret.
    pub additional_trust_bundle_secret_ref: Option<SecretReference>,
    /// Addresses that stand instead of DNS.
    #[serde(default)]
    pub host_aliases: Vec<HostAlias>,
}

/// Names and the address they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostAlias {
    /// Address.
    pub ip: String,
    /// Names.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Port; absent means 443.
    pub port: Option<u16>,
}

/// A proxy that upstream connections CONNECT through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamProxy {
    /// `host:port`.
    pub address: String,
}

/// How upstream names are resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Dns {
    /// Address families.
    #[serde(default)]
    pub lookup_family: LookupFamily,
    /// `address:port` of resolvers; empty means the system's.
    #[serde(default)]
    pub resolvers: Vec<String>,
}

/// Address families of DNS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum LookupFamily {
    /// IPv4, else IPv6.
    #[default]
    V4Preferred,
    /// IPv4 only.
    V4Only,
    /// IPv6 only.
    V6Only,
    /// IPv6, else IPv4.
    Auto,
    /// Both.
    All,
}

/// A Kubernetes quantity: a number, or text such as `8Mi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity(pub String);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a quantity such as 8Mi")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What of responses is scrubbed besides headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Scrub {
    /// Bodies.
    Bodies,
    /// Cookies that the upstream sets.
    SetCookie,
}

/// The Envoys that the controller runs in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Infrastructure {
    /// How many.
    pub replicas: Option<u32>,
    /// Kubernetes `ResourceRequirements`.
    pub resources: Option<Opaque>,
    /// Image.
    pub image: Option<String>,
    /// Labels of the nodes they may run on.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Kubernetes `Toleration`s.
    pub tolerations: Option<Vec<Opaque>>,
}

/// Who runs the Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum DataPlane {
    /// Keyward.
    #[default]
    Keyward,
    /// Istio.
    Istio,
    /// Envoy Gateway.
    EnvoyGateway,
    /// Somebody else.
    None,
}
