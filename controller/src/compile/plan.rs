//! One gateway's plan: the hosts that routes name, their buckets, and each bucket's configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use policy::host::HostPattern;
use policy::provider::Provider;
use policy::seal::Keyring;
use policy::wire::{Carriers, Config, DenyCause, Models, Scrub, Target, Telemetry, Unlisted};

use super::buckets;
use super::config::{self, Cause, Draft, Then};
use super::fills::{Fills, Share};
use super::gateway::Settings;
use super::scope::Scope;
use super::tokens::Needed;
use crate::inputs::Age;
use crate::parallel;
use crate::plan::{Alias, BUCKETS, DefaultPolicy, Egress, GatewayPlan, HostPlan, ObjectKey};

/// A route as a gateway sees it: accepted there, or refused for its content.
pub(super) struct Attached<'a> {
    pub(super) key: ObjectKey,
    pub(super) age: Age,
    pub(super) scopes: &'a [Scope],
    /// Whether it may inject at all.
    pub(super) accepted: bool,
    /// Whether an EgressDenyPolicy inverts it.
    pub(super) denied: bool,
}

/// What is decided elsewhere.
pub(super) struct Around {
    pub(super) egress: Egress,
    pub(super) trust_bundle: String,
    pub(super) telemetry: Option<Telemetry>,
    pub(super) inspector: Option<PathBuf>,
}

/// Plans a gateway, and says which Google tokens that takes.
pub(super) fn plan(
    key: ObjectKey,
    settings: Settings,
    routes: &[Attached<'_>],
    around: Around,
    fills: &Fills,
    keyring: &Keyring,
) -> (GatewayPlan, Needed) {
    let unlisted = match settings.default_policy {
        DefaultPolicy::AllowAll => Unlisted::Pass,
        DefaultPolicy::DenyAll => Unlisted::Deny,
    };
    let (claims, needed) = claims(&key, routes, fills, &settings.aliases);
    let hosts = hosts(&claims, &settings.aliases);
    let Around { egress, trust_bundle, telemetry, inspector } = around;
    let frame = config::Frame {
        gateway: &key,
        unlisted,
        max_held_body: settings.max_held_body,
        telemetry: telemetry.as_ref(),
        scrub: settings.scrub,
    };
    let buckets = configurations(&frame, &claims, &hosts, fills, keyring);
    let open_aliases = settings.aliases.into_iter().filter(|(name, _)| !is_claimed(name, &hosts)).collect();
    // It forwards nothing with a credential.
    let frame = config::Frame { scrub: Scrub::default(), ..frame };
    let guard = config::empty(&frame, guarded(unlisted, &egress));
    let plan = GatewayPlan {
        guard,
        key,
        default_policy: settings.default_policy,
        interception: settings.interception,
        ports: settings.ports,
        hosts,
        open_aliases,
        buckets,
        trust_bundle,
        dns: settings.dns,
        request_timeout: settings.request_timeout,
        max_held_body: settings.max_held_body,
        allowed_private_networks: settings.allowed_private_networks,
        egress,
        upstream_proxy: settings.upstream_proxy,
        collector: settings.collector,
        inspector,
    };
    (plan, needed)
}

/// What the guard does with a host that no route names: where some are allowed or answered in a way of their own, the
/// routes of the listener tell them apart, and refuse what is neither.
fn guarded(unlisted: Unlisted, egress: &Egress) -> Unlisted {
    match egress.allowed.is_empty() && egress.denied.is_empty() {
        true => unlisted,
        false => Unlisted::Pass,
    }
}

/// What one match of one route comes to on this gateway.
struct Claim {
    age: Age,
    route: ObjectKey,
    hosts: BTreeSet<HostPattern>,
    endpoints: Option<Vec<String>>,
    methods: Option<Vec<String>>,
    models: Option<Models>,
    carriers: Carriers,
    then: Then,
    /// What decides about the bucket of its hosts.
    needs: buckets::Needs,
}

fn claims(
    gateway: &ObjectKey,
    routes: &[Attached<'_>],
    fills: &Fills,
    aliases: &BTreeMap<String, Alias>,
) -> (Vec<Claim>, Needed) {
    let (mut claims, mut needed) = (Vec::new(), Needed::new());
    for route in routes {
        let share = fills.share(gateway, &route.key);
        let then = outcome(route, &share);
        let needs = needs(share.policies(), fills);
        let is_per_host = fills.is_per_host(&share);
        for scope in route.scopes {
            let hosts = with_aliases(&scope.hosts, aliases);
            if route.accepted {
                fills.need(&share, hosts.iter(), &mut needed);
            }
            let mut parts: BTreeMap<(Then, Option<HostPattern>), BTreeSet<HostPattern>> = BTreeMap::new();
            for host in hosts {
                let lack = fills.lack(&share, &host).filter(|_| route.accepted);
                let then = lack.map_or_else(|| then.clone(), |lack| Then::Deny(Cause(lack.cause())));
                let alone = (is_per_host && !matches!(then, Then::Deny(_))).then(|| host.clone());
                parts.entry((then, alone)).or_default().insert(host);
            }
            claims.extend(parts.into_iter().map(|((then, _), hosts)| Claim {
                age: route.age,
                route: route.key.clone(),
                hosts,
                endpoints: scope.endpoints.clone(),
                methods: scope.methods.clone(),
                models: scope.models.clone(),
                carriers: carriers(scope.provider, share.policies(), fills),
                then,
                needs: needs.with_models(scope.models.as_ref()),
            }));
        }
    }
    (claims, needed)
}

/// What the policies that fill, or would fill, have to do with the choice of a bucket: a value that comes or goes moves
/// nothing.
fn needs(policies: &BTreeSet<ObjectKey>, fills: &Fills) -> buckets::Needs {
    let policies = || policies.iter().filter_map(|policy| fills.policies.get(policy));
    let signs = policies().filter_map(|policy| policy.content.as_ref().ok()).any(|fill| fill.target.signs());
    buckets::Needs { secrets: policies().map(|policy| policy.secret.to_string()).collect(), bodies: signs }
}

/// What becomes of a route's requests.
fn outcome(route: &Attached<'_>, share: &Share) -> Then {
    match share {
        _ if route.denied => Then::Deny(Cause(DenyCause::RouteDenied)),
        _ if !route.accepted => Then::Deny(Cause(DenyCause::RouteRefused)),
        Share::Policies(policies) => Then::Inject(policies.iter().cloned().collect()),
        Share::Nothing(cause, _) => Then::Deny(Cause(*cause)),
    }
}

/// An alias below a pattern is a host of its own: it has an address and a port that the pattern's other hosts lack.
fn with_aliases(hosts: &BTreeSet<HostPattern>, aliases: &BTreeMap<String, Alias>) -> BTreeSet<HostPattern> {
    let below = aliases.keys().filter(|name| hosts.iter().any(|host| host.matches(name)));
    let below = below.filter_map(|name| HostPattern::parse(name).ok());
    hosts.iter().cloned().chain(below).collect()
}

/// The provider's carriers, the places that are filled, and what the policies strip besides.
fn carriers(provider: Provider, policies: &BTreeSet<ObjectKey>, fills: &Fills) -> Carriers {
    let Carriers { headers, query, members } = Carriers::of(provider);
    let (mut headers, mut query) = (BTreeSet::from_iter(headers), BTreeSet::from_iter(query));
    let policies = policies.iter().filter_map(|policy| fills.policies.get(policy)?.content.as_ref().ok());
    for fill in policies {
        headers.extend(fill.target.headers().map(str::to_owned));
        query.extend(fill.target.parameters().map(str::to_lowercase));
        // Whatever the host, it is one of Google's, which would take an account of the agent's own there.
        if fill.target == (Target::GoogleToken {}) {
            let google = Carriers::of(Provider::Google);
            headers.extend(google.headers);
            query.extend(google.query);
        }
        headers.extend(fill.strip_headers.iter().cloned());
        query.extend(fill.strip_query.iter().cloned());
    }
    Carriers { headers: headers.into_iter().collect(), query: query.into_iter().collect(), members }
}

fn hosts(claims: &[Claim], aliases: &BTreeMap<String, Alias>) -> BTreeMap<HostPattern, HostPlan> {
    let mut needs: BTreeMap<HostPattern, buckets::Needs> = BTreeMap::new();
    for claim in claims {
        for host in &claim.hosts {
            needs.entry(host.clone()).or_default().add(&claim.needs);
        }
    }
    let buckets = buckets::assign(&needs);
    buckets
        .into_iter()
        .map(|(host, bucket)| {
            let alias = host.exact().and_then(|name| aliases.get(name)).cloned();
            let ports = std::iter::once(443).chain(alias.as_ref().map(|alias| alias.port)).collect();
            (host, HostPlan { bucket, ports, alias })
        })
        .collect()
}

fn is_claimed(name: &str, hosts: &BTreeMap<HostPattern, HostPlan>) -> bool {
    HostPattern::parse(name).is_ok_and(|host| hosts.contains_key(&host))
}

fn configurations(
    frame: &config::Frame<'_>,
    claims: &[Claim],
    hosts: &BTreeMap<HostPattern, HostPlan>,
    fills: &Fills,
    keyring: &Keyring,
) -> Vec<Config> {
    let mut drafts: BTreeMap<usize, BTreeSet<Draft>> = BTreeMap::new();
    for claim in claims {
        for (bucket, draft) in split(claim, hosts) {
            drafts.entry(bucket).or_default().insert(draft);
        }
    }
    let buckets: Vec<usize> = (0..BUCKETS).collect();
    parallel::map(&buckets, |bucket| match drafts.get(bucket) {
        Some(drafts) => config::build(&frame.of_bucket(*bucket), drafts, fills, keyring),
        None => config::empty(frame, Unlisted::Deny),
    })
}

/// A claim's hosts by bucket and ports: a rule speaks of hosts that share both.
fn split(claim: &Claim, hosts: &BTreeMap<HostPattern, HostPlan>) -> Vec<(usize, Draft)> {
    let mut groups: BTreeMap<(usize, Vec<u16>), Vec<String>> = BTreeMap::new();
    for host in &claim.hosts {
        if let Some(plan) = hosts.get(host) {
            let ports = plan.ports.iter().copied().collect();
            groups.entry((plan.bucket, ports)).or_default().push(host.to_string());
        }
    }
    groups
        .into_iter()
        .map(|((bucket, ports), hosts)| {
            let draft = Draft {
                age: claim.age,
                route: claim.route.clone(),
                hosts,
                ports,
                endpoints: claim.endpoints.clone(),
                methods: claim.methods.clone(),
                models: claim.models.clone(),
                carriers: claim.carriers.clone(),
                then: claim.then.clone(),
            };
            (bucket, draft)
        })
        .collect()
}
