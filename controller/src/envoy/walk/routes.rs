//! Which route a request comes to, and what that says.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;

use super::WalkError::{self, Unknown};
use super::{Outcome, Request, in_full};

/// By name, else the one for the rest; with any port.
pub(super) fn virtual_host<'a>(
    routes: &'a route::RouteConfiguration,
    authority: &str,
) -> Result<&'a route::VirtualHost, WalkError> {
    let name = without_port(authority).to_ascii_lowercase();
    let is_known = |domain: &&String| *domain == "*" || !domain.contains('*');
    if !routes.virtual_hosts.iter().flat_map(|host| &host.domains).all(|domain| is_known(&domain)) {
        return Err(Unknown("a virtual host by a pattern"));
    }
    let of = |name: &str| routes.virtual_hosts.iter().find(|host| host.domains.iter().any(|it| it == name));
    of(&name).or_else(|| of("*")).ok_or(Unknown("no virtual host for the rest"))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

pub(super) fn matches(what: Option<&route::RouteMatch>, request: &Request<'_>) -> Result<bool, WalkError> {
    let what = what.ok_or(Unknown("a route without a match"))?;
    let known = route::RouteMatch {
        path_specifier: what.path_specifier.clone(),
        headers: what.headers.clone(),
        ..Default::default()
    };
    if known != *what {
        return Err(Unknown("a route that matches by more than path and headers"));
    }
    let of_kind = match &what.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) if prefix == "/" => !request.connect,
        Some(PathSpecifier::ConnectMatcher(_)) => request.connect,
        _ => return Err(Unknown("a route by path")),
    };
    for header in &what.headers {
        if !of_kind || !header_matches(header, request)? {
            return Ok(false);
        }
    }
    Ok(of_kind)
}

fn header_matches(header: &route::HeaderMatcher, request: &Request<'_>) -> Result<bool, WalkError> {
    let value = match header.name.as_str() {
        ":authority" => Some(request.authority),
        "upgrade" => request.upgrade,
        _ => return Err(Unknown("a route by another header")),
    };
    let Some(HeaderMatchSpecifier::StringMatch(text)) = &header.header_match_specifier else {
        return Err(Unknown("a route by a header's presence"));
    };
    // Envoy: what is absent matches nothing, inverted or not.
    let Some(value) = value else { return Ok(false) };
    let matched = match &text.match_pattern {
        Some(matcher::string_matcher::MatchPattern::Exact(exact)) if text.ignore_case => {
            value.eq_ignore_ascii_case(exact)
        }
        Some(matcher::string_matcher::MatchPattern::Exact(exact)) => value == exact,
        Some(matcher::string_matcher::MatchPattern::SafeRegex(regex)) => in_full(&regex.regex, value)?,
        _ => return Err(Unknown("a route by part of a header")),
    };
    Ok(matched != header.invert_match)
}

pub(super) fn outcome(route: &route::Route) -> Result<Outcome, WalkError> {
    match &route.action {
        Some(route::route::Action::DirectResponse(answer)) => {
            let headers = route.response_headers_to_add.iter().filter_map(|option| option.header.as_ref());
            let reason =
                |header: &core::HeaderValue| (header.key == "x-keyward-reason").then(|| header.value.clone());
            let reason = headers.filter_map(reason).next().ok_or(Unknown("a refusal without a reason"))?;
            Ok(Outcome::Refused { status: answer.status, reason })
        }
        Some(route::route::Action::Route(action)) => match &action.cluster_specifier {
            Some(route::route_action::ClusterSpecifier::Cluster(name)) => Ok(Outcome::Cluster(name.clone())),
            _ => Err(Unknown("a route to more than one cluster")),
        },
        _ => Err(Unknown("a route that neither forwards nor answers")),
    }
}
