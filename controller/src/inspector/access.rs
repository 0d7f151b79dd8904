//! Who may ask the inspector: whoever knows the token, under a name of loopback, from no other site.
//!
//! Every process of this machine reaches a loopback port, and every web page that its browser has open: the token is
//! what keeps both out. `Host` is judged besides because a name of somebody else's may come to lead here (DNS
//! rebinding), and `Origin` because a browser sends requests of any page.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq as _;

/// Random bytes of a token.
const BYTES: usize = 24;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What opens the page. (No `Debug`: it is for its user alone.)
pub(super) struct Token(String);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn random() -> io::Result<Token> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Token(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes as long whatever is wrong.
    fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// What a request must come with.
pub(super) struct Access {
    /// As `Host` says it.
    hosts: Vec<String>,
    token: Token,
}

impl Access {
    pub(super) fn new(address: SocketAddr, token: Token) -> Access {
        Access { hosts: vec![address.to_string(), format!("localhost:{}", address.port())], token }
    }

    /// What is asked for, below the token.
    ///
    /// # Errors
    /// The status of the refusal.
    pub(super) fn judge<'a>(
        &self,
        method: &Method,
        path: &'a str,
        headers: &HeaderMap,
    ) -> Result<&'a str, StatusCode> {
        if !self.is_named(headers) || !self.is_of_our_origin(headers) {
            return Err(StatusCode::FORBIDDEN);
        }
        let (token, below) = path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default();
        if !self.token.is(token) {
            return Err(StatusCode::NOT_FOUND);
        }
        if method == Method::GET { Ok(below) } else { Err(StatusCode::METHOD_NOT_ALLOWED) }
    }

    fn is_named(&self, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(HOST).iter();
        let host = named.next().and_then(|host| host.to_str().ok());
        named.next().is_none()
            && host.is_some_and(|host| self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
    }

    fn is_of_our_origin(&self, headers: &HeaderMap) -> bool {
        let ours = |origin: &str| {
            origin.strip_prefix("http://").is_some_and(|host| self.hosts.iter().any(|own| own == host))
        };
        let origins = headers.get_all(ORIGIN).iter();
        let own = origins.into_iter().all(|origin| origin.to_str().is_ok_and(ours));
        let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // A link may be followed from anywhere; nothing else of another page's is answered.
        let apart = matches!(value(FETCH_SITE), Some("cross-site" | "same-site"));
        own && (!apart || value(FETCH_MODE) == Some("navigate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &Method, path: &str, headers: &[(&'static str, &'static str)]) -> Result<String, u16> {
        let access = Access::new(([127, 0, 0, 1], 4000).into(), Token("t0ken".to_owned()));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        access.judge(method, path, &map).map(str::to_owned).map_err(|status| status.as_u16())
    }

    #[test]
    fn whoever_has_the_token_and_comes_by_loopback_is_answered() {
        let host = ("host", "127.0.0.1:4000");
        for (path, headers, below) in [
            ("/t0ken/", &[host][..], ""),
            ("/t0ken/app.js", &[host], "app.js"),
            ("/t0ken/requests/1", &[("host", "LOCALHOST:4000")], "requests/1"),
            ("/t0ken/", &[host, ("origin", "http://127.0.0.1:4000")], ""),
            ("/t0ken/", &[host, ("sec-fetch-site", "same-origin")], ""),
            ("/t0ken/", &[host, ("sec-fetch-site", "none")], ""),
            ("/t0ken/", &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], ""),
        ] {
            assert_eq!(judged(&Method::GET, path, headers), Ok(below.to_owned()), "{path} {headers:?}");
        }
    }

    #[test]
    fn everyone_else_is_refused() {
        let host = ("host", "127.0.0.1:4000");
        for (path, headers, status) in [
            ("/", &[host][..], 404),
            ("/t0ken", &[host], 404),
            ("//", &[host], 404),
            ("/t0ke/", &[host], 404),
            ("/t0kenn/", &[host], 404),
            ("/T0KEN/", &[host], 404),
            ("t0ken/", &[host], 404),
            ("/t0ken/", &[], 403),
            ("/t0ken/", &[host, host], 403),
            ("/t0ken/", &[("host", "127.0.0.1")], 403),
            ("/t0ken/", &[("host", "127.0.0.1:4001")], 403),
            ("/t0ken/", &[("host", "rebound.example:4000")], 403),
            ("/t0ken/", &[("host", "127.0.0.1.example:4000")], 403),
            ("/t0ken/", &[host, ("origin", "null")], 403),
            ("/t0ken/", &[host, ("origin", "http://rebound.example:4000")], 403),
            ("/t0ken/", &[host, ("origin", "http://127.0.0.1:4001")], 403),
            ("/t0ken/", &[host, ("origin", "https://127.0.0.1:4000")], 403),
            ("/t0ken/", &[host, ("origin", "http://127.0.0.1:4000"), ("origin", "null")], 403),
            ("/t0ken/", &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
            ("/t0ken/", &[host, ("sec-fetch-site", "same-site")], 403),
        ] {
            assert_eq!(judged(&Method::GET, path, headers), Err(status), "{path} {headers:?}");
        }
        for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT] {
            assert_eq!(judged(&method, "/t0ken/", &[host]), Err(405), "{method}");
        }
    }

    #[test]
    fn a_token_is_random_and_fits_into_a_url() {
        let (one, other) = (Token::random().expect("one"), Token::random().expect("another"));
        assert!(one.as_str() != other.as_str() && one.as_str().len() == 32);
        assert!(one.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
}
