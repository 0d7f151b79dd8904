//! Which names get a leaf.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::host::HostPattern;

use super::name::is_host_name;
use crate::destination::Host;
use crate::plan::{DefaultPolicy, GatewayPlan, Interception, Passage, PortSet};

/// Which names get a leaf.
#[derive(Clone)]
pub struct MintPolicy {
    exact: BTreeSet<String>,
    patterns: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Whether a name that no route of a provider has is intercepted all the same.
    allowed: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    others: Others,
}

/// Whether names that no route has get a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are intercepted: `allow-all` with `interception: All`.
    Minted,
    /// They are refused or pass untouched: nothing is minted.
    Refused,
}

impl MintPolicy {
    /// `exact` are the hosts that routes name, `patterns` tells whether a route has a pattern that covers a name.
    pub fn new(
        exact: BTreeSet<String>,
        patterns: impl Fn(&str) -> bool + Send + Sync + 'static,
        others: Others,
    ) -> MintPolicy {
        MintPolicy { exact, patterns: Arc::new(patterns), allowed: Arc::new(|_| false), others }
    }

    /// Mints for these names too, as for names that no route has.
    #[must_use]
    pub fn allowing(self, allowed: impl Fn(&str) -> bool + Send + Sync + 'static) -> MintPolicy {
        MintPolicy { allowed: Arc::new(allowed), ..self }
    }

    /// The policy that a gateway's plan asks for. Without a port whose TLS it ends, it needs no leaf.
    #[must_use]
    pub fn of(plan: &GatewayPlan) -> MintPolicy {
        if plan.ports.terminate == PortSet::Only(BTreeSet::new()) {
            return MintPolicy::refuse_all();
        }
        let exact = plan.hosts.keys().filter_map(HostPattern::exact).map(str::to_owned).collect();
        let patterns: Vec<HostPattern> =
            plan.hosts.keys().filter(|host| host.exact().is_none()).cloned().collect();
        let others = match (plan.default_policy, plan.interception) {
            (DefaultPolicy::AllowAll, Interception::All) => Others::Minted,
            (DefaultPolicy::AllowAll, Interception::Routes) | (DefaultPolicy::DenyAll, _) => Others::Refused,
        };
        let intercepted = plan.egress.allowed.iter().filter(|it| it.passage == Passage::Intercepted);
        let allowed: Vec<Host> = intercepted.map(|it| it.destination.host.clone()).collect();
        MintPolicy::new(exact, move |name| patterns.iter().any(|pattern| pattern.matches(name)), others)
            .allowing(move |name| allowed.iter().any(|host| host.names(name)))
    }

    /// A policy that refuses every name.
    #[must_use]
    pub fn refuse_all() -> MintPolicy {
        MintPolicy::new(BTreeSet::new(), |_| false, Others::Refused)
    }

    /// The hosts that routes name.
    pub(super) fn exact(&self) -> &BTreeSet<String> {
        &self.exact
    }

    /// Whether a name gets a leaf.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        self.class(name).is_some()
    }

    /// What a name counts as; `None` where it gets no leaf.
    pub(super) fn class(&self, name: &str) -> Option<Class> {
        if !is_host_name(name) {
            None
        } else if self.exact.contains(name) {
            Some(Class::Exact)
        } else if (self.patterns)(name) {
            Some(Class::Pattern)
        } else {
            (self.others == Others::Minted || (self.allowed)(name)).then_some(Class::Open)
        }
    }
}

/// Why a leaf is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A route names its host: made ahead, pinned.
    Exact,
    /// A route's pattern covers it: pinned, within a budget.
    Pattern,
    /// No route has it: first in, first out.
    Open,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use policy::wire;

    use super::*;
    use crate::destination::{Destination, PortRanges, Traffic};
    use crate::plan::{Allowed, Dns, HostPlan, LookupFamily, ObjectKey, Ports};

    fn plan(default_policy: DefaultPolicy, interception: Interception, terminate: PortSet) -> GatewayPlan {
        let host = |pattern| {
            let host = HostPlan { bucket: 0, ports: [443].into(), alias: None };
            (HostPattern::parse(pattern).unwrap(), host)
        };
        GatewayPlan {
            key: ObjectKey { namespace: "default".to_owned(), name: "gw".to_owned() },
            default_policy,
            interception,
            ports: Ports { terminate, ..Ports::default() },
            hosts: ["api.example", "*.azure.example"].map(host).into(),
            open_aliases: BTreeMap::new(),
            buckets: Vec::new(),
            guard: wire::Config {
                version: wire::VERSION,
                gateway: "default/gw".to_owned(),
                agent_side: wire::AgentSide::Tls,
                connection_facts: wire::ConnectionFacts::FilterState,
                record: wire::RecordText::Json,
                telemetry: None,
                scrub: wire::Scrub::default(),
                unlisted: wire::Unlisted::Deny,
                other_hosts: wire::Unlisted::Deny,
                endpoints: Vec::new(),
                methods: Vec::new(),
                models: Vec::new(),
                max_held_body: wire::DEFAULT_MAX_HELD_BODY,
                carriers: Vec::new(),
                targets: Vec::new(),
                rules: Vec::new(),
            },
            trust_bundle: String::new(),
            dns: Dns { family: LookupFamily::V4Preferred, resolvers: Vec::new() },
            max_held_body: wire::DEFAULT_MAX_HELD_BODY,
            request_timeout: std::time::Duration::from_secs(300),
            allowed_private_networks: Vec::new(),
            egress: crate::plan::Egress::default(),
            upstream_proxy: None,
            collector: None,
            inspector: None,
        }
    }

    #[test]
    fn a_plan_says_which_names_are_minted() {
        let (all, routes) = (Interception::All, Interception::Routes);
        let (allow, deny) = (DefaultPolicy::AllowAll, DefaultPolicy::DenyAll);
        let (tls, none) = (PortSet::Any, PortSet::Only(BTreeSet::new()));
        #[rustfmt::skip]
        let cases = [
            (allow, all, &tls, [Some(Class::Exact), Some(Class::Pattern), Some(Class::Open)]),
            (allow, routes, &tls, [Some(Class::Exact), Some(Class::Pattern), None]),
            (deny, all, &tls, [Some(Class::Exact), Some(Class::Pattern), None]),
            (allow, all, &none, [None, None, None]),
        ];
        for (default_policy, interception, ports, expected) in cases {
            let policy = MintPolicy::of(&plan(default_policy, interception, ports.clone()));
            let classes = ["api.example", "x.azure.example", "other.example"].map(|name| policy.class(name));
            assert_eq!(classes, expected, "{default_policy:?} {interception:?} {ports:?}");
        }
    }

    #[test]
    fn what_is_allowed_where_tls_ends_is_minted_and_what_passes_untouched_is_not() {
        let allowed = |host: &str, passage| Allowed {
            destination: Destination {
                host: Host::Name(HostPattern::parse(host).unwrap()),
                ports: PortRanges::all(),
                traffic: Traffic::Any,
            },
            passage,
        };
        let mut plan = plan(DefaultPolicy::DenyAll, Interception::All, PortSet::Any);
        plan.egress.allowed = vec![
            allowed("*.intercepted.example", Passage::Intercepted),
            allowed("untouched.example", Passage::Untouched),
        ];
        let policy = MintPolicy::of(&plan);
        for (name, class) in [
            ("a.intercepted.example", Some(Class::Open)),
            ("untouched.example", None),
            ("other.example", None),
            ("api.example", Some(Class::Exact)),
        ] {
            assert_eq!(policy.class(name), class, "{name}");
        }
    }
}
