//! Choosing a filter chain by SNI, ALPN and transport protocol: an exact map for names, then a list of expressions.
//! A matcher can change without draining anything.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3 as inputs;
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate, predicate};
use prost::{Message, Name};

use super::any::pack;

/// Which chain each connection gets: by name, else by the first rule that matches, else the last resort. Envoy
/// refuses an empty list of rules.
pub(super) struct Chains {
    pub(super) names: BTreeMap<String, String>,
    pub(super) rules: Vec<(Predicate, String)>,
    pub(super) otherwise: String,
}

impl Chains {
    /// The matcher without its names.
    pub(super) fn base(&self) -> xds::Matcher {
        let fallback = self.fallback();
        if self.names.is_empty() {
            return fallback;
        }
        xds::Matcher {
            on_no_match: Some(Box::new(nested(fallback))),
            matcher_type: Some(tree(BTreeMap::new())),
        }
    }

    /// One matcher for each name, to be merged into [`Chains::base`].
    pub(super) fn entries(&self) -> impl Iterator<Item = xds::Matcher> {
        self.names.iter().map(|(name, chain)| xds::Matcher {
            matcher_type: Some(tree([(name.clone(), chain.clone())].into())),
            on_no_match: None,
        })
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

pub(super) fn all_of(predicates: Vec<Predicate>) -> Predicate {
    Predicate {
        match_type: Some(predicate::MatchType::AndMatcher(predicate::PredicateList {
            predicate: predicates,
        })),
    }
}

pub(super) fn any_of(predicates: Vec<Predicate>) -> Predicate {
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
    Predicate {
        match_type: Some(predicate::MatchType::SinglePredicate(predicate::SinglePredicate {
            input: Some(input),
            matcher: Some(predicate::single_predicate::Matcher::ValueMatch(value)),
        })),
    }
}

fn tree(names: BTreeMap<String, String>) -> xds::matcher::MatcherType {
    let map = names.into_iter().map(|(name, chain)| (name, action(&chain))).collect();
    xds::matcher::MatcherType::MatcherTree(xds::matcher::MatcherTree {
        input: Some(input("sni", &inputs::ServerNameInput {})),
        tree_type: Some(xds::matcher::matcher_tree::TreeType::ExactMatchMap(
            xds::matcher::matcher_tree::MatchMap { map },
        )),
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
