//! Where an account's assertions are exchanged: its `token_uri`, taken apart and judged.

use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;
use tokio_rustls::rustls::pki_types::ServerName;

/// Google's token endpoint: the default of `token_uri`, and the audience of every assertion.
pub(super) const GOOGLE: &str = "https://oauth2.googleapis.com/token";

/// Why a `token_uri` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndpointError {
    /// Not an absolute http or https URL of a host.
    Malformed,
    /// It would send the assertion over a network in clear.
    Cleartext,
}

/// A token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// What is dialled: a name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The `host` header.
    pub(super) authority: String,
    /// The path, with the query if there is one.
    pub(super) target: String,
    pub(super) channel: Channel,
}

/// How it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Channel {
    /// TLS; the certificate must be for this name.
    Tls(ServerName<'static>),
    /// In clear, to a loopback address.
    Loopback,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError::Malformed)?;
        let authority = uri.authority().ok_or(EndpointError::Malformed)?;
        let after_host = authority.as_str().strip_prefix(authority.host());
        let after_host = after_host.ok_or(EndpointError::Malformed)?; // a user or a password stands before it
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| EndpointError::Malformed)?;
        let (channel, default_port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => (Channel::Tls(name), 443),
            Some(scheme) if *scheme == Scheme::HTTP && is_loopback(&host) => (Channel::Loopback, 80),
            Some(scheme) if *scheme == Scheme::HTTP => return Err(EndpointError::Cleartext),
            _ => return Err(EndpointError::Malformed),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let port = port(after_host, default_port)?;
        Ok(Endpoint { host, port, authority: authority.as_str().to_owned(), target, channel })
    }
}

/// Only addresses: what `localhost` leads to is a resolver's to say.
fn is_loopback(host: &str) -> bool {
    host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn port(after_host: &str, default: u16) -> Result<u16, EndpointError> {
    match after_host.strip_prefix(':') {
        None if after_host.is_empty() => Ok(default),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Malformed),
        None => Err(EndpointError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_anywhere_or_http_on_a_loopback_address() {
        #[rustfmt::skip]
        let cases = [
            (GOOGLE, "oauth2.googleapis.com", 443, "/token"),
            ("https://10.0.0.1:8443/a/b?c=d", "10.0.0.1", 8443, "/a/b?c=d"),
            ("https://[2001:db8::1]", "2001:db8::1", 443, "/"),
            ("http://127.0.0.1:8080/token", "127.0.0.1", 8080, "/token"),
            ("http://127.9.9.9/token", "127.9.9.9", 80, "/token"),
            ("http://[::1]:8080/token", "::1", 8080, "/token"),
        ];
        for (text, host, port, target) in cases {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (endpoint.host.as_str(), endpoint.port, endpoint.target.as_str()),
                (host, port, target)
            );
            assert_eq!(endpoint.channel == Channel::Loopback, text.starts_with("http:"), "{text}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_their_cause() {
        #[rustfmt::skip]
        let malformed = [
            "", "/token", "oauth2.googleapis.com", "ftp://a.example/", "https://", "https:///token", "https://a b/",
            "https://user@a.example/", "https://user:pass@a.example/", "https://a.example:/", "https://a.example:0/",
            "https://a.example:65536/", "https://a.example:x/", "file:///etc/passwd",
        ];
        for text in malformed {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::Malformed), "{text}");
        }
        #[rustfmt::skip]
        let cleartext = [
            "http://oauth2.googleapis.com/token", "http://localhost/", "http://127.0.0.1.nip.example/",
            "http://0.0.0.0/", "http://10.0.0.1/", "http://169.254.169.254/", "http://[::ffff:127.0.0.1]/",
        ];
        for text in cleartext {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::Cleartext), "{text}");
        }
    }
}
