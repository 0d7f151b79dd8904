//! The request that is asked about, taken apart as a client that sends it does.

use std::net::IpAddr;

use policy::decide::Head;
use policy::model::Body;

use super::Args;
use crate::cli::Failure;

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query, for messages: a query may hold a credential.
    pub(super) shown_url: String,
    pub(super) is_https: bool,
    /// As the client writes it: port only where the URL has one.
    pub(super) authority: String,
    /// `host:port`.
    pub(super) target: String,
    /// The TLS server name; `None`: there is none.
    pub(super) sni: Option<String>,
    pub(super) is_transparent: bool,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// `NAME: VALUE`. The name in lower case, as HTTP/2 and Envoy have it.
pub(super) fn header(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err("write it as NAME: VALUE"),
    }
}

impl Request {
    /// Reads the arguments.
    ///
    /// # Errors
    /// [`Failure::Usage`]: they describe no request.
    pub(super) fn parse(args: &Args) -> Result<Request, Failure> {
        let usage = |why: &str| Failure::Usage(format!("the URL {why}"));
        let (scheme, rest) =
            args.url.split_once("://").ok_or_else(|| usage("is not one: write https://HOST/PATH"))?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(usage("is neither https nor http; nothing else goes through a gateway")),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if authority.is_empty() || authority.contains('@') {
            return Err(usage("has no host, or a user in front of it"));
        }
        let (host, target) = host_and_target(authority, is_https);
        let mut headers = args.headers.clone();
        let own = headers.iter().position(|(name, _)| name == "host").map(|at| headers.remove(at).1);
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let sni = match &args.sni {
            Some(name) => Some(name.to_ascii_lowercase()).filter(|name| !name.is_empty()),
            // Clients send no address as a server name (RFC 6066).
            None => Some(host.to_ascii_lowercase()).filter(|_| !is_address),
        };
        if args.transparent && !is_https {
            return Err(usage("is http, and the transparent port takes TLS only"));
        }
        Ok(Request {
            method: args.method.clone(),
            shown_url: format!("{scheme}://{authority}{}", path.split('?').next().unwrap_or_default()),
            is_https,
            authority: own.unwrap_or_else(|| authority.to_owned()),
            target,
            sni,
            is_transparent: args.transparent,
            path,
            headers,
            body: args
                .model
                .as_ref()
                .map(|model| serde_json::json!({ "model": model }).to_string().into_bytes()),
        })
    }

    /// The host of the target.
    pub(super) fn host(&self) -> &str {
        self.target.rsplit_once(':').map_or(self.target.as_str(), |(host, _)| host)
    }

    /// The header `upgrade`.
    pub(super) fn upgrade(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == "upgrade").map(|(_, value)| value.as_str())
    }

    /// Its head, as the filter gets it.
    pub(super) fn head(&self) -> Head<'_> {
        let scheme: &[u8] = if self.is_https { b"https" } else { b"http" };
        let headers = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Head {
            method: self.method.as_bytes(),
            scheme,
            // Envoy takes a final dot off (`strip_trailing_host_dot`).
            authority: self.authority.trim_end_matches('.').as_bytes(),
            path: self.path.as_bytes(),
            protocol: None,
            headers: headers.collect(),
        }
    }

    /// Its body, as far as it is known.
    pub(super) fn body(&self) -> Body<'_> {
        let without = ["GET", "HEAD", "DELETE", "OPTIONS"].contains(&self.method.as_str());
        match &self.body {
            _ if self.head().is_endless() => Body::None,
            Some(body) => Body::Whole(body),
            None if without => Body::None,
            None => Body::Unread,
        }
    }
}

fn host_and_target(authority: &str, is_https: bool) -> (&str, String) {
    let default = if is_https { 443 } else { 80 };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, format!("{host}:{port}")),
        _ => (authority, format!("{authority}:{default}")),
    }
}
