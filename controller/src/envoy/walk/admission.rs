//! Whether the filters of a chain let a connection through (`network::expected_name`).

use envoy_types::pb::envoy::config::listener::v3::FilterChain;
use envoy_types::pb::envoy::config::rbac::v3 as rbac;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::api::expr::v1alpha1 as cel;
use prost::Name as _;

use super::WalkError::{self, Unknown};
use super::{Connection, config, decode, in_full, state};
use crate::envoy::upstream_guard;

/// Whether every filter that judges connections lets this one through.
pub(super) fn admits(chain: &FilterChain, connection: &Connection<'_>) -> Result<bool, WalkError> {
    for filter in &chain.filters {
        let config = config(filter)?;
        if config.type_url == Rbac::type_url() {
            let rules = decode::<Rbac>(config)?.rules;
            if !rules.map_or(Ok(true), |rules| allows(&rules, connection))? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn allows(rules: &rbac::Rbac, connection: &Connection<'_>) -> Result<bool, WalkError> {
    match rules.action() {
        rbac::rbac::Action::Allow => any(rules.policies.values(), |policy| is_of(policy, connection)),
        // It judges the address, which is not known here.
        rbac::rbac::Action::Deny if rules.policies.keys().eq([upstream_guard::POLICY]) => Ok(true),
        _ => Err(Unknown("a denial of connections")),
    }
}

/// Whether a policy speaks of a connection.
fn is_of(policy: &rbac::Policy, connection: &Connection<'_>) -> Result<bool, WalkError> {
    Ok(any(&policy.permissions, |what| permits(what, connection))?
        && any(&policy.principals, |who| is_by(who, connection))?
        && policy.condition.as_ref().map_or(Ok(true), |condition| holds(condition, connection))?)
}

fn permits(permission: &rbac::Permission, connection: &Connection<'_>) -> Result<bool, WalkError> {
    match &permission.rule {
        Some(rbac::permission::Rule::Any(_)) => Ok(true),
        Some(rbac::permission::Rule::NotRule(rule)) => Ok(!permits(rule, connection)?),
        // Without a server name Envoy compares with an empty one.
        Some(rbac::permission::Rule::RequestedServerName(text)) => {
            text_matches(text, connection.sni.unwrap_or_default())
        }
        _ => Err(Unknown("a permission of another kind")),
    }
}

fn is_by(principal: &rbac::Principal, connection: &Connection<'_>) -> Result<bool, WalkError> {
    match &principal.identifier {
        Some(rbac::principal::Identifier::Any(_)) => Ok(true),
        Some(rbac::principal::Identifier::FilterState(fact)) => {
            let Some(matcher::filter_state_matcher::Matcher::StringMatch(text)) = &fact.matcher else {
                return Err(Unknown("a principal that is no text"));
            };
            state(&fact.key, connection)?.map_or(Ok(false), |value| text_matches(text, value))
        }
        _ => Err(Unknown("a principal of another kind")),
    }
}

fn text_matches(text: &matcher::StringMatcher, value: &str) -> Result<bool, WalkError> {
    match &text.match_pattern {
        Some(matcher::string_matcher::MatchPattern::SafeRegex(regex)) => in_full(&regex.regex, value),
        _ => Err(Unknown("a text that is no expression")),
    }
}

/// `filter_state[a] == filter_state[b]`, letter by letter; what is absent equals nothing.
fn holds(condition: &cel::Expr, connection: &Connection<'_>) -> Result<bool, WalkError> {
    let [a, b] = operands(condition, "_==_")?;
    let (a, b) = (state(key(a)?, connection)?, state(key(b)?, connection)?);
    Ok(a.is_some() && a == b)
}

/// The `b` of `filter_state[b]`.
fn key(expression: &cel::Expr) -> Result<&str, WalkError> {
    use cel::constant::ConstantKind;
    use cel::expr::ExprKind;
    let [map, key] = operands(expression, "_[_]")?;
    match (&map.expr_kind, &key.expr_kind) {
        (Some(ExprKind::IdentExpr(map)), Some(ExprKind::ConstExpr(key))) if map.name == "filter_state" => {
            match &key.constant_kind {
                Some(ConstantKind::StringValue(key)) => Ok(key),
                _ => Err(Unknown("a fact without a name")),
            }
        }
        _ => Err(Unknown("a value that is no fact")),
    }
}

fn operands<'a>(expression: &'a cel::Expr, function: &str) -> Result<&'a [cel::Expr; 2], WalkError> {
    match &expression.expr_kind {
        Some(cel::expr::ExprKind::CallExpr(call)) if call.function == function => {
            call.args.as_slice().try_into().map_err(|_| Unknown("a comparison of more than two"))
        }
        _ => Err(Unknown("an expression of another kind")),
    }
}

fn any<T>(
    all: impl IntoIterator<Item = T>,
    holds: impl Fn(T) -> Result<bool, WalkError>,
) -> Result<bool, WalkError> {
    all.into_iter().map(holds).try_fold(false, |any, one| Ok(any || one?))
}
