//! Choosing a filter chain by SNI, ALPN and transport protocol: a set of names, then a list of expressions. A matcher
//! can change without draining anything.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::CidrRange;
use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3 as inputs;
use envoy_types::pb::envoy::extensions::matching::input_matchers::ip::v3::Ip;
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate, predicate};
use prost::{Message, Name};

use super::any::{number, pack};

/// `xds.type.matcher.v3.ServerNameMatcher`. An exact map would say the chain once more for each of ten thousand names.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ServerNameMatcher {
    #[prost(message, repeated, tag = "1")]
    pub(super) domain_matchers: Vec<DomainMatcher>,
}

/// `xds.type.matcher.v3.ServerNameMatcher.DomainMatcher`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DomainMatcher {
    #[prost(string, repeated, tag = "1")]
    pub(super) domains: Vec<String>,
    #[prost(message, optional, tag = "2")]
    pub(super) on_match: Option<xds::matcher::OnMatch>,
}

impl Name for ServerNameMatcher {
    const NAME: &'static str = "ServerNameMatcher";
    const PACKAGE: &'static str = "xds.type.matcher.v3";

    fn type_url() -> String {
        format!("type.googleapis.com/{}.{}", Self::PACKAGE, Self::NAME)
    }
}

/// Which chain each connection gets: the names one of theirs, else by the first rule that matches, else the last
/// resort. Envoy refuses an empty list of rules, and an empty list of names.
pub(super) struct Chains {
    pub(super) names: Vec<String>,
    pub(super) of_names: String,
    pub(super) rules: Vec<(Predicate, String)>,
    pub(super) otherwise: String,
}

impl Chains {
    pub(super) fn matcher(&self) -> xds::Matcher {
        let fallback = self.fallback();
        if self.names.is_empty() {
            return fallback;
        }
        xds::Matcher {
            on_no_match: Some(Box::new(nested(fallback))),
            matcher_type: Some(one_of(&self.names, &self.of_names)),
        }
    }

    fn fallback(&self) -> xds::Matcher {
        let rule = |(predicate, chain): &(Predicate, String)| FieldMatcher {
            predicate: Some(predicate.clone()),
            on_match: Some(action(chain)),
        };
        let list = xds::matcher::MatcherList { matchers: self.rules.iter().map(rule).collect() };
        xds::Matcher {
            matcher_type: Some(xds::matcher::MatcherType::MatcherList(list)),
            on_no_match: Some(Box::new(action(&self.otherwise))),
        }
    }
}

/// The SNI matches the expression.
pub(super) fn sni(expression: &str) -> Predicate {
    matches(input("sni", &inputs::ServerNameInput {}), expression)
}

/// The ALPN list matches the expression. Envoy writes it as `'h2','http/1.1'`.
pub(super) fn alpn(expression: &str) -> Predicate {
    matches(input("alpn", &inputs::ApplicationProtocolInput {}), expression)
}

/// The inspector saw this protocol: `tls` or `raw_buffer`.
pub(super) fn protocol(name: &str) -> Predicate {
    matches(input("protocol", &inputs::TransportProtocolInput {}), name)
}

/// The filter state that the proxy listener wrote matches the expression.
pub(super) fn state(key: &str, expression: &str) -> Predicate {
    let state = inputs::FilterStateInput { key: key.to_owned(), ..Default::default() };
    matches(input("state", &state), expression)
}

/// The filter state is an address of one of these networks, however it is spelt.
pub(super) fn address_in(key: &str, networks: &[(IpAddr, u8)]) -> Predicate {
    let range = |(address, length): &(IpAddr, u8)| CidrRange {
        address_prefix: address.to_string(),
        prefix_len: number(u32::from(*length)),
    };
    let ranges = Ip { cidr_ranges: networks.iter().map(range).collect(), stat_prefix: "networks".to_owned() };
    let matcher = TypedExtensionConfig {
        name: "envoy.matching.matchers.ip".to_owned(),
        typed_config: Some(pack(&ranges)),
    };
    let state = inputs::FilterStateInput { key: key.to_owned(), ..Default::default() };
    single(input("address", &state), predicate::single_predicate::Matcher::CustomMatch(matcher))
}

pub(super) fn all_of(mut predicates: Vec<Predicate>) -> Predicate {
    // A list of one is refused.
    if predicates.len() == 1 {
        return predicates.remove(0);
    }
    Predicate {
        match_type: Some(predicate::MatchType::AndMatcher(predicate::PredicateList {
            predicate: predicates,
        })),
    }
}

pub(super) fn any_of(mut predicates: Vec<Predicate>) -> Predicate {
    if predicates.len() == 1 {
        return predicates.remove(0);
    }
    Predicate {
        match_type: Some(predicate::MatchType::OrMatcher(predicate::PredicateList { predicate: predicates })),
    }
}

pub(super) fn not(predicate: Predicate) -> Predicate {
    Predicate { match_type: Some(predicate::MatchType::NotMatcher(Box::new(predicate))) }
}

fn matches(input: TypedExtensionConfig, expression: &str) -> Predicate {
    let regex = xds::RegexMatcher {
        regex: expression.to_owned(),
        engine_type: Some(xds::regex_matcher::EngineType::GoogleRe2(xds::regex_matcher::GoogleRe2 {})),
    };
    let value = xds::StringMatcher {
        match_pattern: Some(xds::string_matcher::MatchPattern::SafeRegex(regex)),
        ignore_case: false,
    };
    single(input, predicate::single_predicate::Matcher::ValueMatch(value))
}

fn single(input: TypedExtensionConfig, matcher: predicate::single_predicate::Matcher) -> Predicate {
    Predicate {
        match_type: Some(predicate::MatchType::SinglePredicate(predicate::SinglePredicate {
            input: Some(input),
            matcher: Some(matcher),
        })),
    }
}

fn one_of(names: &[String], chain: &str) -> xds::matcher::MatcherType {
    let names = DomainMatcher { domains: names.to_vec(), on_match: Some(action(chain)) };
    let matcher = pack(&ServerNameMatcher { domain_matchers: vec![names] });
    xds::matcher::MatcherType::MatcherTree(xds::matcher::MatcherTree {
        input: Some(input("sni", &inputs::ServerNameInput {})),
        tree_type: Some(xds::matcher::matcher_tree::TreeType::CustomMatch(TypedExtensionConfig {
            name: "envoy.matching.custom_matchers.domain_matcher".to_owned(),
            typed_config: Some(matcher),
        })),
    })
}

fn action(chain: &str) -> xds::matcher::OnMatch {
    let name = TypedExtensionConfig {
        name: "chain".to_owned(),
        typed_config: Some(pack(&StringValue { value: chain.to_owned() })),
    };
    xds::matcher::OnMatch {
        on_match: Some(xds::matcher::on_match::OnMatch::Action(name)),
        keep_matching: false,
    }
}

fn nested(matcher: xds::Matcher) -> xds::matcher::OnMatch {
    xds::matcher::OnMatch {
        on_match: Some(xds::matcher::on_match::OnMatch::Matcher(Box::new(matcher))),
        keep_matching: false,
    }
}

fn input<M: Message + Name>(name: &str, message: &M) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(pack(message)) }
}
