//! Which filter chain a connection comes to.

use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3 as inputs;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{Predicate, predicate};
use prost::Name as _;

use super::WalkError::{self, Unknown};
use super::{ALPN, Connection, decode, in_full, state};
use crate::envoy::sni::ServerNameMatcher;

/// The filter chain that a matcher chooses.
pub(super) fn chosen(
    matcher: &xds::Matcher,
    connection: &Connection<'_>,
) -> Result<Option<String>, WalkError> {
    use xds::matcher::{MatcherType, matcher_tree::TreeType};
    let on_match = match &matcher.matcher_type {
        Some(MatcherType::MatcherList(list)) => {
            let mut found = None;
            for rule in &list.matchers {
                let predicate = rule.predicate.as_ref().ok_or(Unknown("a rule without a condition"))?;
                if holds(predicate, connection)? {
                    found = rule.on_match.as_ref();
                    break;
                }
            }
            found
        }
        Some(MatcherType::MatcherTree(tree)) => match &tree.tree_type {
            Some(TreeType::CustomMatch(custom)) => return by_name(custom, matcher, connection),
            _ => return Err(Unknown("a choice by another tree")),
        },
        None => None,
    };
    follow(on_match.or(matcher.on_no_match.as_deref()), connection)
}

fn by_name(
    custom: &TypedExtensionConfig,
    matcher: &xds::Matcher,
    connection: &Connection<'_>,
) -> Result<Option<String>, WalkError> {
    let config = custom.typed_config.as_ref().ok_or(Unknown("an empty list of names"))?;
    let names: ServerNameMatcher = decode(config)?;
    let domains = || names.domain_matchers.iter().flat_map(|matcher| &matcher.domains);
    if config.type_url != ServerNameMatcher::type_url() || domains().any(|domain| domain.contains('*')) {
        return Err(Unknown("a choice by a pattern of names"));
    }
    let named = |domains: &[String]| connection.sni.is_some_and(|sni| domains.iter().any(|it| it == sni));
    let found = names.domain_matchers.iter().find(|matcher| named(&matcher.domains));
    follow(found.and_then(|it| it.on_match.as_ref()).or(matcher.on_no_match.as_deref()), connection)
}

fn follow(
    on_match: Option<&xds::matcher::OnMatch>,
    connection: &Connection<'_>,
) -> Result<Option<String>, WalkError> {
    use xds::matcher::on_match::OnMatch;
    match on_match.and_then(|on_match| on_match.on_match.as_ref()) {
        None => Ok(None),
        Some(OnMatch::Matcher(matcher)) => chosen(matcher, connection),
        Some(OnMatch::Action(action)) => {
            let name = action.typed_config.as_ref().ok_or(Unknown("a choice without a name"))?;
            Ok(Some(decode::<StringValue>(name)?.value))
        }
    }
}

fn holds(predicate: &Predicate, connection: &Connection<'_>) -> Result<bool, WalkError> {
    match predicate.match_type.as_ref().ok_or(Unknown("an empty condition"))? {
        predicate::MatchType::AndMatcher(list) => {
            for predicate in &list.predicate {
                if !holds(predicate, connection)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        predicate::MatchType::OrMatcher(list) => {
            for predicate in &list.predicate {
                if holds(predicate, connection)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        predicate::MatchType::NotMatcher(predicate) => Ok(!holds(predicate, connection)?),
        predicate::MatchType::SinglePredicate(single) => single_holds(single, connection),
    }
}

fn single_holds(single: &predicate::SinglePredicate, connection: &Connection<'_>) -> Result<bool, WalkError> {
    let input = single.input.as_ref().and_then(|input| input.typed_config.as_ref());
    let value = input_of(input.ok_or(Unknown("a condition on nothing"))?, connection)?;
    let Some(predicate::single_predicate::Matcher::ValueMatch(text)) = &single.matcher else {
        return Err(Unknown("a condition of another kind"));
    };
    let Some(xds::string_matcher::MatchPattern::SafeRegex(regex)) = &text.match_pattern else {
        return Err(Unknown("a condition that is no expression"));
    };
    // What is absent matches nothing.
    value.map_or(Ok(false), |value| in_full(&regex.regex, value))
}

fn input_of<'a>(input: &Any, connection: &Connection<'a>) -> Result<Option<&'a str>, WalkError> {
    if input.type_url == inputs::ServerNameInput::type_url() {
        Ok(connection.sni)
    } else if input.type_url == inputs::ApplicationProtocolInput::type_url() {
        Ok(Some(ALPN))
    } else if input.type_url == inputs::TransportProtocolInput::type_url() {
        Ok(Some("tls"))
    } else if input.type_url == inputs::FilterStateInput::type_url() {
        state(&decode::<inputs::FilterStateInput>(input)?.key, connection)
    } else {
        Err(Unknown("a condition on something else"))
    }
}
