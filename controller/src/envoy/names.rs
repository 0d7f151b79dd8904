//! The names of everything that a gateway's configuration contains. Other parts refer to resources by these alone.

use crate::plan::{BUCKETS, LIGHT_BUCKETS};

/// Listener that agents use as an HTTP proxy.
pub const PROXY_LISTENER: &str = "proxy";
/// Listener that redirected TLS connections arrive at.
pub const TRANSPARENT_LISTENER: &str = "transparent";
/// Internal listener that ends TLS with a leaf minted for the SNI; cluster and listener have the same name.
pub const MITM: &str = "mitm";
/// Internal listener that CONNECT tunnels to hosts that no route names go through, on ports where the client speaks
/// first: it waits for the first bytes. Cluster and listener have the same name.
pub const TUNNEL: &str = "tunnel";
/// As [`TUNNEL`], for the other ports: a client that stays silent gets through, since its server may speak first.
pub const TUNNEL_SERVER_FIRST: &str = "tunnel-server-first";

/// How many listeners a connection of an agent can cross: one that agents reach, a tunnel, the interception.
pub const HOPS: usize = 3;

/// Route configuration of the proxy listener.
pub const PROXY_ROUTES: &str = "proxy/routes";
/// Route configuration of the intercepted requests.
pub const MITM_ROUTES: &str = "mitm/routes";

/// Secret with the certificates that upstreams are verified against. It holds a `/`, so that no SNI can equal it.
pub const TRUST_BUNDLE: &str = "upstream/trust-bundle";
/// What is asked for when a client sends no SNI. Nobody serves it, so the handshake fails.
pub const NO_SNI: &str = "no/sni";

/// Upstream cluster of hosts that a route names.
pub const CREDENTIALED: &str = "credentialed";
/// Its HTTP/1.1-only twin, for upgrades.
pub const CREDENTIALED_H1: &str = "credentialed-h1";
/// Upstream cluster of the other intercepted hosts.
pub const OPEN: &str = "open";
/// Its HTTP/1.1-only twin, for upgrades.
pub const OPEN_H1: &str = "open-h1";
/// Upstream cluster of plain `http://` requests.
pub const OPEN_CLEARTEXT: &str = "open-cleartext";
/// Upstream cluster of connections that pass untouched.
pub const PASSTHROUGH: &str = "passthrough";
/// Internal listener that opens tunnels through the operator's HTTP proxy, and the cluster of that proxy.
pub const UPSTREAM_PROXY: &str = "upstream-proxy";
/// Cluster of the collector that requests are told to.
pub const COLLECTOR: &str = "collector";
/// Cluster of the inspector, which they are told to as well.
pub const INSPECTOR: &str = "inspector";
/// Cluster of the controller in the bootstrap.
pub const XDS_CLUSTER: &str = "xds";

/// The filter for hosts that no route names, intercepted or in the clear.
pub const GUARD: &str = "light/guard";

/// Filter state with what the connection is about: `SNI|CONNECT target`, `-` for what is absent.
pub const CONNECTION: &str = "keyward.connection";
/// Filter state with the CONNECT target as the agent wrote it (`host:port`).
pub const TARGET: &str = "keyward.target";
/// Filter state with the SNI, where a chain compares it with the target.
pub const SNI: &str = "keyward.sni";
/// Filter state with the host of the CONNECT target.
pub const TARGET_HOST: &str = "keyward.target_host";
/// The same as it is dialled: an IPv6 address keeps its brackets.
pub const TARGET_DIALLED: &str = "keyward.target_dialled";
/// Filter state with the port of the CONNECT target.
pub const TARGET_PORT: &str = "keyward.target_port";
/// Filter state with the host and port that the operator's HTTP proxy is asked for.
pub const UPSTREAM: &str = "keyward.upstream";
/// Filter state with the agent's address.
pub const PEER: &str = "keyward.peer";

/// Filter state that says that the agent's TLS handshake succeeded.
pub const ESTABLISHED: &str = "keyward.established";

/// The filter of a bucket, and the ECDS resource that configures it. The capability class is part of the name.
#[must_use]
pub fn bucket(index: usize) -> String {
    match index.checked_sub(LIGHT_BUCKETS) {
        None => format!("light/bucket-{index:02}"),
        Some(index) => format!("full/bucket-{index:02}"),
    }
}

/// Every filter of the module in the interception chain: the guard, then the buckets.
#[must_use]
pub fn mitm_filters() -> Vec<String> {
    std::iter::once(GUARD.to_owned()).chain((0..BUCKETS).map(bucket)).collect()
}

/// The cluster of a host that the operator gave an address.
pub(super) fn alias(host: &str) -> String {
    format!("alias/{host}")
}

/// The HTTP/1.1-only twin of [`alias`].
pub(super) fn alias_h1(host: &str) -> String {
    format!("alias-h1/{host}")
}

/// The cluster for untouched connections to a host that the operator gave an address.
pub(super) fn alias_passthrough(host: &str) -> String {
    format!("alias-passthrough/{host}")
}
