//! The resource types served, ordered by what refers to what.

/// A resource type. Each refers only to smaller ones (a listener to routes, a cluster to secrets), so the order is
/// the one in which additions go out; removals go the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SDS: validation contexts, and leaves on demand.
    Secret,
    /// CDS.
    Cluster,
    /// ECDS: configurations of HTTP filters.
    Extension,
    /// RDS.
    Route,
    /// LDS.
    Listener,
}

impl Kind {
    /// Every type, referenced before referring.
    pub const ALL: [Kind; 5] = [Kind::Secret, Kind::Cluster, Kind::Extension, Kind::Route, Kind::Listener];

    /// The type URL that discovery requests and resources carry.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Kind::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Kind::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Kind::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Kind::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Kind::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
        }
    }

    /// What the discovery service of this type is called.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Kind::Secret => "sds",
            Kind::Cluster => "cds",
            Kind::Extension => "ecds",
            Kind::Route => "rds",
            Kind::Listener => "lds",
        }
    }

    /// The type with this URL, if it is served.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// Whether a first request that names nothing asks for everything. The protocol says so of listeners and
    /// clusters only; for others Envoy sends such a request when a reconnect finds nothing subscribed.
    #[must_use]
    pub(crate) fn empty_means_all(self) -> bool {
        matches!(self, Kind::Cluster | Kind::Listener)
    }

    /// Whether each resource travels in a response of its own. Envoy names the resource that it refuses for clusters
    /// and listeners alone; of the others a refused response may have been applied in part.
    #[must_use]
    pub(crate) fn travels_alone(self) -> bool {
        !matches!(self, Kind::Cluster | Kind::Listener)
    }

    /// Whether `name` is made when asked for instead of standing in a snapshot: the SNI of a leaf. Every other
    /// secret has a `/` in its name.
    #[must_use]
    pub(crate) fn on_demand(self, name: &str) -> bool {
        self == Kind::Secret && !name.contains('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_url(kind.url()), Some(kind));
        }
        assert_eq!(
            Kind::from_url("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
            None
        );
    }

    #[test]
    fn every_kind_refers_to_smaller_ones_only() {
        assert!(Kind::ALL.is_sorted());
    }
}
