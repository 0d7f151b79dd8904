//! What the Envoy configuration of one gateway is generated from: names resolved, credentials sealed, nothing left
//! to decide. Written by [`crate::compile`], read by [`crate::envoy`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use policy::host::HostPattern;
use policy::wire;

use crate::destination::Destination;
use crate::source::DEFAULT_NAMESPACE;

/// How many buckets of the *light* class a gateway has, whose filters never see a body. Fixed for a gateway's life: the
/// filters of its listener are named after them.
///
/// `KEYWARD_BENCH_BUCKETS` at build time makes a binary with another number, for measurements of what the number costs
/// (`keyward-bench scale`). It is no option: a gateway whose controllers differ in it would drain its listeners.
pub const LIGHT_BUCKETS: usize = match option_env!("KEYWARD_BENCH_BUCKETS") {
    None => 32,
    Some(number) => match usize::from_str_radix(number, 10) {
        Ok(number) => number,
        Err(_) => panic!("KEYWARD_BENCH_BUCKETS is not a number"),
    },
};

/// How many of the *full* class follow them: for hosts some of whose requests are held back until their body arrived.
pub const FULL_BUCKETS: usize = 8;

/// All buckets of a gateway.
pub const BUCKETS: usize = LIGHT_BUCKETS + FULL_BUCKETS;

/// `namespace/name` of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace; `default` where a manifest of a directory gives none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A text that names no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write NAME or NAMESPACE/NAME")]
pub struct NotAKey;

/// As users write it: `namespace/name`, or the name alone in the namespace `default`.
impl std::str::FromStr for ObjectKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<ObjectKey, NotAKey> {
        let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, text));
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(NotAKey);
        }
        Ok(ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One gateway, ready to be turned into Envoy resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPlan {
    /// The gateway.
    pub key: ObjectKey,
    /// What happens to hosts that no route names.
    pub default_policy: DefaultPolicy,
    /// Whether hosts that no route names are intercepted under `allow-all`.
    pub interception: Interception,
    /// The agent-side destination ports served, by what their listener does with TLS.
    pub ports: Ports,
    /// The hosts that accepted (or refused-for-content) routes name.
    pub hosts: BTreeMap<HostPattern, HostPlan>,
    /// Aliases of hosts that no route names; a route host carries its own in [`HostPlan::alias`].
    pub open_aliases: BTreeMap<String, Alias>,
    /// The configuration of each bucket; exactly [`BUCKETS`], empty ones (no rules, `Deny`) included.
    pub buckets: Vec<wire::Config>,
    /// The configuration of the guard: no rules.
    pub guard: wire::Config,
    /// PEM of the certificates that upstreams are verified against: the system's plus the gateway's own.
    pub trust_bundle: String,
    /// How upstream names are resolved.
    pub dns: Dns,
    /// Bounds silence of a request or a stream, never the length of an answer.
    pub request_timeout: Duration,
    /// The largest body that a request may be held back with.
    pub max_held_body: u32,
    /// Networks exempt from the private-address guard, as `address/length`.
    pub allowed_private_networks: Vec<(IpAddr, u8)>,
    /// What EgressL4Routes allow and EgressDenyPolicies refuse.
    pub egress: Egress,
    /// The HTTP proxy that connections to upstreams go through, but those to aliases. It resolves their names.
    pub upstream_proxy: Option<UpstreamProxy>,
    /// Who is told of requests.
    pub collector: Option<Collector>,
    /// The socket of the inspector, which is told of them too.
    pub inspector: Option<PathBuf>,
}

/// A collector that takes spans over OTLP/HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Whether it is spoken to in TLS.
    pub tls: bool,
    /// Its name or address.
    pub host: ProxyHost,
    /// Its port.
    pub port: u16,
    /// `:authority` of what is posted to it.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// An HTTP proxy between the gateway and upstreams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// Its name or address.
    pub host: ProxyHost,
    /// Its port.
    pub port: u16,
}

/// Where something of the operator's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyHost {
    /// At an address.
    Address(IpAddr),
    /// At the address of a name.
    Name(String),
}

/// What EgressL4Routes allow and EgressDenyPolicies refuse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// Refused, whatever else allows it, hosts that routes name included.
    pub denied: Vec<Denied>,
    /// Allowed, narrower ones first: the first that fits says how. Hosts that routes name come before all of them.
    pub allowed: Vec<Allowed>,
}

/// A destination that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The destination. What is spoken there does not matter.
    pub destination: Destination,
    /// What is answered where HTTP can carry an answer.
    pub response: DenyResponse,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyResponse {
    /// HTTP status.
    pub status: u16,
    /// For whoever reads it; `None` is Keyward's own.
    pub message: Option<String>,
}

/// A destination that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The destination.
    pub destination: Destination,
    /// What becomes of its TLS.
    pub passage: Passage,
}

/// What becomes of a connection that an EgressL4Route allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// TLS that speaks HTTP is intercepted, without a credential.
    Intercepted,
    /// Bytes pass untouched.
    Untouched,
}

/// What happens to hosts that no route names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultPolicy {
    /// They are reached, without a credential.
    AllowAll,
    /// They are refused.
    DenyAll,
}

/// Whether hosts that no route names are intercepted (under `allow-all`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interception {
    /// Every host.
    All,
    /// Only hosts that a route names; others pass untouched.
    Routes,
}

/// The agent-side destination ports that the gateway's listeners serve.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ports {
    /// Served by listeners with `tls.mode: Terminate`.
    pub terminate: PortSet,
    /// Served by TLS listeners with `Passthrough`, and by TCP ones.
    pub passthrough: PortSet,
    /// Served by HTTP listeners: plain requests are forwarded, never with a credential.
    pub cleartext: PortSet,
}

/// A set of ports, or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortSet {
    /// A listener without a port: any destination port.
    Any,
    /// Exactly these. Empty: none.
    Only(BTreeSet<u16>),
}

impl Default for PortSet {
    fn default() -> Self {
        PortSet::Only(BTreeSet::new())
    }
}

/// A host that a route names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// Index of its bucket.
    pub bucket: usize,
    /// The ports it is intercepted on: 443 and those of its aliases.
    pub ports: BTreeSet<u16>,
    /// Where the operator says it is, instead of DNS.
    pub alias: Option<Alias>,
}

/// An entry of `upstreamTLS.hostAliases`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Address.
    pub ip: IpAddr,
    /// Port; 443 where the manifest gives none.
    pub port: u16,
}

/// How upstream names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Which address families.
    pub family: LookupFamily,
    /// Resolvers to ask; empty means the system's.
    pub resolvers: Vec<std::net::SocketAddr>,
}

/// Address families of DNS answers, as Envoy's `DnsLookupFamily` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupFamily {
    /// IPv4, else IPv6.
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
