//! The proxy that the user's own programs go through, which the gateway goes through too: `upstreamProxy` of the objects
//! that are made.
//!
//! A gateway can ask a plain HTTP proxy for a tunnel, and give it no password. Another kind is refused, not left out:
//! going around a proxy that the user has set is the user's to decide.

use policy::host::HostPattern;

use super::environment::{self, Environment};
use super::no_proxy;

/// Where clients look for the proxy of https, in this order (curl(1)).
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// A proxy without a port is meant at that of its scheme.
const PORT: u16 = 80;

/// What the variables come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Upstream {
    /// The proxy's `host:port`.
    pub(super) proxy: Option<String>,
    /// What is to be said of it.
    pub(super) note: Option<String>,
}

/// Looks for the user's proxy. `hosts` are those that get a key.
///
/// # Errors
/// It is one that the gateway cannot go through. No part of its URL is in the message: it may be a password.
pub(super) fn find(user: &Environment, hosts: &[HostPattern]) -> Result<Upstream, String> {
    let set = |name: &&str| user.get(std::ffi::OsStr::new(name)).is_some_and(|value| !value.is_empty());
    let Some(variable) = VARIABLES.into_iter().find(|name| set(name)) else { return Ok(Upstream::default()) };
    let (direct, through): (Vec<_>, Vec<_>) =
        hosts.iter().partition(|host| environment::no_proxy(user).any(|list| no_proxy::names(list, host)));
    if through.is_empty() {
        let note = format!("{variable} is not used: NO_PROXY names every host that gets a key");
        return Ok(Upstream { proxy: None, note: Some(note) });
    }
    let value = user.get(std::ffi::OsStr::new(variable)).and_then(|value| value.to_str());
    let proxy = value.ok_or("is not UTF-8").and_then(address).map_err(|why| {
        format!(
            "{variable} {why}, which the gateway cannot go through. Name a plain HTTP proxy without a password there, \
             such as one on this machine that leads to it; or leave the variable out, to go out directly"
        )
    })?;
    let mut note = format!("connections to upstreams go through the proxy {proxy}, which {variable} names");
    if !direct.is_empty() {
        let direct: Vec<_> = direct.into_iter().map(HostPattern::as_str).collect();
        note.push_str(&format!("; {} too, although NO_PROXY names it", direct.join(", ")));
    }
    Ok(Upstream { proxy: Some(proxy), note: Some(note) })
}

/// `host:port` of a proxy's URL, whose scheme may be left out.
fn address(url: &str) -> Result<String, &'static str> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    match scheme.to_ascii_lowercase().as_str() {
        "http" => {}
        "https" => return Err("names a proxy that is spoken to in TLS"),
        scheme if scheme.starts_with("socks") => return Err("names a SOCKS proxy"),
        _ => return Err("names no HTTP proxy"),
    }
    if rest.contains('@') {
        return Err("names a proxy with a password");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| "names no port")?),
        _ => (authority.as_str(), PORT),
    };
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    let is_name = HostPattern::parse(host).is_ok_and(|host| host.exact().is_some());
    match (is_address || is_name) && port != 0 {
        true => Ok(format!("{host}:{port}")),
        false => Err("names no proxy"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(set: &[(&str, &str)]) -> Result<Upstream, String> {
        let user = set.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let hosts = ["api.anthropic.com", "llm.corp.example"];
        find(&user, &hosts.map(|host| HostPattern::parse(host).expect("a pattern")))
    }

    #[test]
    fn a_plain_http_proxy_is_used_and_the_first_variable_decides() {
        assert_eq!(found(&[]), Ok(Upstream::default()));
        assert_eq!(found(&[("HTTPS_PROXY", "")]), Ok(Upstream::default()));
        for (url, proxy) in [
            ("http://proxy.corp.example:3128", "proxy.corp.example:3128"),
            ("HTTP://Proxy.Corp.Example:3128/", "proxy.corp.example:3128"),
            ("proxy.corp.example:3128", "proxy.corp.example:3128"),
            ("http://proxy", "proxy:80"),
            ("http://10.0.0.9:8080", "10.0.0.9:8080"),
            ("http://localhost:3128", "localhost:3128"),
            ("http://[fd00::9]:3128", "[fd00::9]:3128"),
            ("http://[fd00::9]", "[fd00::9]:80"),
        ] {
            let upstream = found(&[("HTTPS_PROXY", url)]).expect(url);
            assert_eq!(upstream.proxy.as_deref(), Some(proxy), "{url}");
            let note = upstream.note.expect("a note");
            assert!(note.contains(proxy) && note.ends_with("which HTTPS_PROXY names"), "{note}");
        }
        let both = [("HTTPS_PROXY", "http://a.example:1"), ("https_proxy", "http://b.example:2")];
        assert_eq!(found(&both).expect("one").proxy.as_deref(), Some("b.example:2"));
        let other = [("ALL_PROXY", "http://c.example:3"), ("HTTP_PROXY", "http://d.example:4")];
        assert_eq!(found(&other).expect("one").proxy.as_deref(), Some("c.example:3"));
    }

    #[test]
    fn another_proxy_is_refused_and_nothing_of_it_said() {
        for (url, why) in [
            ("https://s3cret.example:3128", "in TLS"),
            ("socks5h://s3cret.example:1080", "SOCKS"),
            ("ftp://s3cret.example", "no HTTP proxy"),
            ("http://user:s3cret@proxy.example:3128", "a password"),
            ("user:s3cret/#@proxy.example:3128", "a password"),
            ("http://s3cret.example:port", "no port"),
            ("http://s3cret.example:0", "no proxy"),
            ("http://s3cret*:3128", "no proxy"),
            ("http://s3c\"ret:3128", "no proxy"),
            ("http://", "no proxy"),
        ] {
            let said = found(&[("https_proxy", url)]).expect_err(url);
            assert!(said.starts_with("https_proxy names") && said.contains(why), "{url}: {said}");
            assert!(!said.contains("s3c"), "{said}");
        }
    }

    #[test]
    fn no_proxy_counts_where_it_names_hosts_that_get_a_key() {
        let proxy = ("HTTPS_PROXY", "http://proxy.example:3128");
        for list in ["*", "anthropic.com,.corp.example"] {
            let upstream = found(&[proxy, ("NO_PROXY", list)]).expect("none");
            assert_eq!(upstream.proxy, None, "{list}");
            assert!(upstream.note.expect("a note").contains("NO_PROXY names every host"), "{list}");
        }
        let upstream = found(&[proxy, ("no_proxy", "localhost,.corp.example")]).expect("one");
        assert!(upstream.proxy.is_some());
        assert!(
            upstream.note.expect("a note").ends_with("; llm.corp.example too, although NO_PROXY names it")
        );
    }
}
