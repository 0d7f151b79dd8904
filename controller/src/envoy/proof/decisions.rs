//! What the generated configuration decides about tunnels, carried out as Envoy would: the routes for CONNECT, then the
//! matcher of the tunnel's listener. Every decision is held against what the plan says in its own words.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, VirtualHost, route};
use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3 as inputs;
use envoy_types::pb::envoy::extensions::matching::input_matchers::ip::v3::Ip;
use envoy_types::pb::envoy::r#type::matcher::v3 as strings;
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{Predicate, predicate};
use prost::Name;
use regex_automata::meta::Regex;

use super::Configuration;
use super::cases::{configuration, plans};
use super::reading::{route_cluster, tcp_clusters, unpack};
use crate::destination::{Destination, Host, Traffic};
use crate::envoy::names;
use crate::envoy::sni::ServerNameMatcher;
use crate::plan::{DefaultPolicy, Egress, GatewayPlan, Passage};

/// What an agent does: opens a tunnel to a target, and sends this inside.
#[derive(Debug, Clone)]
struct Tunnel {
    host: &'static str,
    port: u16,
    sni: Option<&'static str>,
    alpn: &'static str,
    tls: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    /// CONNECT is answered with this status.
    Answered(u32),
    /// The tunnel is closed.
    Closed,
    /// It is intercepted.
    Intercepted,
    /// It passes untouched, if its server name is the target's.
    Untouched,
}

thread_local! {
    /// Expressions, compiled once.
    static REGEXES: RefCell<BTreeMap<String, Regex>> = const { RefCell::new(BTreeMap::new()) };
}

/// RE2 as Envoy calls it: the whole text must match.
fn matches(expression: &str, text: &str) -> bool {
    REGEXES.with_borrow_mut(|known| {
        let compile = || Regex::new(&format!("^(?:{expression})$")).expect("an expression");
        known.entry(expression.to_owned()).or_insert_with(compile).is_match(text)
    })
}

impl Tunnel {
    fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn state(&self, key: &str) -> String {
        match key {
            names::TARGET => self.authority(),
            names::TARGET_HOST => self.host.trim_matches(['[', ']']).to_owned(),
            other => panic!("a matcher reads {other}"),
        }
    }
}

fn decide(configuration: &Configuration, tunnel: &Tunnel) -> Decision {
    let routes = &configuration.routes[names::PROXY_ROUTES].virtual_hosts;
    let named = |host: &&VirtualHost| host.domains.iter().any(|domain| *domain == tunnel.host.to_lowercase());
    let host = routes.iter().find(named).or_else(|| routes.last()).expect("a virtual host");
    let route = host.routes.iter().find(|route| fits(route, &tunnel.authority())).expect("a route");
    let Some(cluster) = route_cluster(route) else {
        let Some(route::Action::DirectResponse(answer)) = &route.action else { panic!("no answer") };
        return Decision::Answered(answer.status);
    };
    let listener = configuration.internal(&cluster).expect("a tunnel leads inside");
    if listener == names::MITM {
        return Decision::Intercepted;
    }
    let listener = &configuration.listeners[&listener];
    let chosen = choose(listener.filter_chain_matcher.as_ref().expect("a matcher"), tunnel);
    let chain = listener.filter_chains.iter().find(|chain| chain.name == chosen).expect("a chain");
    match tcp_clusters(chain).as_slice() {
        [] => Decision::Closed,
        [cluster] if configuration.internal(cluster).as_deref() == Some(names::MITM) => Decision::Intercepted,
        _ => Decision::Untouched,
    }
}

/// Whether a route is for a CONNECT to this authority.
fn fits(route: &Route, authority: &str) -> bool {
    let what = route.r#match.as_ref().expect("a match");
    let connects = matches!(what.path_specifier, Some(PathSpecifier::ConnectMatcher(_)));
    connects
        && what.headers.iter().all(|header| {
            let Some(HeaderMatchSpecifier::StringMatch(value)) = &header.header_match_specifier else {
                panic!("a header that is matched in another way")
            };
            let Some(strings::string_matcher::MatchPattern::SafeRegex(regex)) = &value.match_pattern else {
                panic!("a value that is matched in another way")
            };
            assert_eq!(header.name, ":authority");
            matches(&regex.regex, authority) != header.invert_match
        })
}

fn choose(matcher: &xds::Matcher, tunnel: &Tunnel) -> String {
    use xds::matcher::MatcherType;
    use xds::matcher::matcher_tree::TreeType;
    let matched = match matcher.matcher_type.as_ref().expect("a matcher") {
        MatcherType::MatcherList(list) => {
            let mut fields = list.matchers.iter();
            let fits =
                |predicate: &Option<Predicate>| holds(predicate.as_ref().expect("a predicate"), tunnel);
            fields.find(|field| fits(&field.predicate)).and_then(|field| field.on_match.clone())
        }
        MatcherType::MatcherTree(tree) => {
            let Some(TreeType::CustomMatch(names)) = &tree.tree_type else { panic!("another kind of tree") };
            let names: ServerNameMatcher = unpack(names.typed_config.as_ref().unwrap());
            let mut names = names.domain_matchers.into_iter();
            let fits = |names: &[String]| tunnel.sni.is_some_and(|sni| names.iter().any(|name| name == sni));
            names.find(|matcher| fits(&matcher.domains)).and_then(|matcher| matcher.on_match)
        }
    };
    let on_match = matched.or_else(|| matcher.on_no_match.as_deref().cloned()).expect("a last resort");
    match on_match.on_match.expect("something to do") {
        xds::matcher::on_match::OnMatch::Matcher(inner) => choose(&inner, tunnel),
        xds::matcher::on_match::OnMatch::Action(action) => {
            unpack::<StringValue>(action.typed_config.as_ref().unwrap()).value
        }
    }
}

fn holds(what: &Predicate, tunnel: &Tunnel) -> bool {
    match what.match_type.as_ref().expect("a predicate") {
        predicate::MatchType::AndMatcher(all) => all.predicate.iter().all(|one| holds(one, tunnel)),
        predicate::MatchType::OrMatcher(any) => any.predicate.iter().any(|one| holds(one, tunnel)),
        predicate::MatchType::NotMatcher(not) => !holds(not, tunnel),
        predicate::MatchType::SinglePredicate(single) => {
            let input =
                single.input.as_ref().and_then(|input| input.typed_config.as_ref()).expect("an input");
            let value = if input.type_url == inputs::ServerNameInput::type_url() {
                tunnel.sni.unwrap_or_default().to_owned()
            } else if input.type_url == inputs::ApplicationProtocolInput::type_url() {
                tunnel.alpn.to_owned()
            } else if input.type_url == inputs::TransportProtocolInput::type_url() {
                if tunnel.tls { "tls".to_owned() } else { "raw_buffer".to_owned() }
            } else {
                tunnel.state(&unpack::<inputs::FilterStateInput>(input).key)
            };
            match single.matcher.as_ref().expect("a matcher") {
                predicate::single_predicate::Matcher::ValueMatch(matcher) => match &matcher.match_pattern {
                    Some(xds::string_matcher::MatchPattern::SafeRegex(regex)) => {
                        matches(&regex.regex, &value)
                    }
                    _ => panic!("a value that is matched in another way"),
                },
                predicate::single_predicate::Matcher::CustomMatch(custom) => {
                    let ranges: Ip = unpack(custom.typed_config.as_ref().unwrap());
                    let ranges = ranges.cidr_ranges.iter().map(|range| {
                        let length = range.prefix_len.map_or(0, |length| length.value);
                        Host::Network(range.address_prefix.parse().unwrap(), u8::try_from(length).unwrap())
                    });
                    value.parse().is_ok_and(|address| {
                        ranges.into_iter().any(|network| holds_address(&network, address))
                    })
                }
            }
        }
    }
}

fn holds_address(network: &Host, address: IpAddr) -> bool {
    network.overlaps(&Host::Network(address, if address.is_ipv4() { 32 } else { 128 }))
}

/// Whether a destination is where a tunnel goes, in the plan's own words.
fn covers(destination: &Destination, tunnel: &Tunnel) -> bool {
    let host = tunnel.host.trim_matches(['[', ']']).to_lowercase();
    let there = match (&destination.host, host.parse::<IpAddr>()) {
        (Host::Any, _) => true,
        (network @ Host::Network(..), Ok(address)) => holds_address(network, address),
        (Host::Name(_), Err(_)) => destination.host.names(&host),
        _ => false,
    };
    there && destination.ports.contains(tunnel.port) && destination.traffic != Traffic::Cleartext
}

/// What is wrong with a decision.
fn wrong(plan: &GatewayPlan, tunnel: &Tunnel, decision: &Decision) -> Option<&'static str> {
    let Egress { allowed, denied } = &plan.egress;
    let host = tunnel.host.to_lowercase();
    let refused = matches!(decision, Decision::Answered(_) | Decision::Closed);
    let credentialed = plan.hosts.iter().find(|(pattern, _)| pattern.matches(&host));
    let inside = tunnel.sni.is_some_and(|sni| plan.hosts.keys().any(|pattern| pattern.matches(sni)));
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if denied.iter().any(|it| covers(&it.destination, tunnel)) {
        return (!refused).then_some("it is denied");
    }
    if let Some((_, known)) = credentialed {
        let right = match known.ports.contains(&tunnel.port) {
            true => *decision == Decision::Intercepted,
            false => matches!(decision, Decision::Answered(403)),
        };
        return (!right).then_some("a host that gets a credential is intercepted, or refused");
    }
    if inside {
        return (*decision == Decision::Untouched)
            .then_some("it carries the name of a host that gets a credential");
    }
    if plan.upstream_proxy.is_some() && is_address {
        return (!refused).then_some("the proxy is asked for an address");
    }
    let mut fitting =
        allowed.iter().filter(|it| covers(&it.destination, tunnel)).filter(|it| match it.passage {
            Passage::Intercepted => tunnel.tls && (tunnel.alpn.is_empty() || tunnel.alpn.contains("h2")),
            Passage::Untouched => it.destination.traffic == Traffic::Any || tunnel.tls,
        });
    let names_denied = tunnel.sni.is_some_and(|sni| {
        denied.iter().any(|it| it.destination.host.names(sni) && it.destination.ports.contains(tunnel.port))
    });
    match fitting.next().filter(|_| !names_denied) {
        Some(first) if first.passage == Passage::Untouched => {
            (*decision != Decision::Untouched).then_some("it is allowed, untouched")
        }
        Some(_) => (*decision != Decision::Intercepted).then_some("it is allowed, intercepted"),
        None if plan.default_policy == DefaultPolicy::DenyAll => (!refused).then_some("nothing allows it"),
        None if names_denied => (!refused).then_some("it carries a name that is denied"),
        None => None,
    }
}

const HOSTS: [&str; 16] = [
    "allowed.example",
    "ALLOWED.example",
    "pinned.example",
    "wiki.internal",
    "mirror.example.com",
    "one.wild.example",
    "denied.wild.example",
    "a.b.wild.example",
    "wild.example",
    "api.anthropic.com",
    "api.openai.com",
    "me.openai.azure.com",
    "other.example",
    "203.0.113.7",
    "203.0.113.8",
    "[2001:db8:0::1]",
];

fn tunnels() -> Vec<Tunnel> {
    let inside =
        |host| [None, Some(host), Some("api.anthropic.com"), Some("denied.wild.example"), Some("x.example")];
    // An SNI is a name, in lower case.
    let is_name = |sni: &str| sni == sni.to_lowercase() && !sni.starts_with(['2', '[']);
    let mut all = Vec::new();
    for (host, port) in HOSTS.iter().flat_map(|host| [22, 443, 5432, 8005, 8443].map(|port| (*host, port))) {
        for sni in inside(host).into_iter().filter(|sni| sni.is_none_or(is_name)) {
            let tls =
                ["", "'h2','http/1.1'", "'imap'"].map(|alpn| Tunnel { host, port, sni, alpn, tls: true });
            all.extend(tls);
        }
        all.push(Tunnel { host, port, sni: None, alpn: "", tls: false });
    }
    all
}

/// The first decision that is not the plan's, and how often each was seen until then.
fn first_wrong(
    plan: &GatewayPlan,
    configuration: &Configuration,
    seen: &mut BTreeMap<String, u32>,
) -> Option<String> {
    tunnels().iter().find_map(|tunnel| {
        let decision = decide(configuration, tunnel);
        *seen.entry(format!("{decision:?}")).or_default() += 1;
        let why = wrong(plan, tunnel, &decision)?;
        Some(format!("{tunnel:?} is {decision:?}, but {why}"))
    })
}

/// Plans with destinations of their own, each with some of the others' properties.
fn some_plans() -> impl Iterator<Item = GatewayPlan> {
    plans().into_iter().filter(|plan| plan.egress != Egress::default()).step_by(7)
}

#[test]
fn every_tunnel_is_decided_as_the_plan_says() {
    let mut seen = BTreeMap::new();
    for plan in some_plans() {
        let found = first_wrong(&plan, &configuration(&plan), &mut seen);
        let of = (plan.default_policy, plan.interception, &plan.ports, &plan.upstream_proxy);
        assert_eq!(found, None, "{of:?}");
    }
    // Nothing is proved by decisions that never come.
    for decision in ["Answered(403)", "Answered(451)", "Closed", "Intercepted", "Untouched"] {
        assert!(seen.get(decision).is_some_and(|count| *count > 100), "{seen:?}");
    }
}

#[test]
fn a_decision_that_is_not_the_plans_is_found() {
    let check = |change: fn(&mut Configuration)| {
        let found = some_plans().find_map(|plan| {
            let mut changed = configuration(&plan);
            change(&mut changed);
            first_wrong(&plan, &changed, &mut BTreeMap::new())
        });
        assert!(found.is_some());
    };
    check(|configuration| {
        for host in &mut configuration.routes.get_mut(names::PROXY_ROUTES).unwrap().virtual_hosts {
            host.routes.retain(
                |route| !matches!(&route.action, Some(route::Action::DirectResponse(it)) if it.status == 451),
            );
        }
    });
    // What nothing allows passes; and the narrowest no longer goes first.
    check(|configuration| {
        for host in &mut configuration.routes.get_mut(names::PROXY_ROUTES).unwrap().virtual_hosts {
            host.routes.reverse();
        }
    });
    check(|configuration| {
        for listener in configuration.listeners.values_mut() {
            let fallback =
                listener.filter_chain_matcher.as_mut().and_then(|matcher| matcher.on_no_match.as_mut());
            let Some(xds::matcher::on_match::OnMatch::Matcher(list)) =
                fallback.and_then(|it| it.on_match.as_mut())
            else {
                continue;
            };
            if let Some(xds::matcher::MatcherType::MatcherList(list)) = &mut list.matcher_type {
                list.matchers.reverse();
            }
        }
    });
}
