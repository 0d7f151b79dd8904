//! What the connection says about where the request goes, compared with what the request says.

use crate::authority::{self, Authority, HTTP_PORT, HTTPS_PORT};
use crate::denial::Reason;
use crate::wire::AgentSide;

use super::Head;

/// What the filter's host knows about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Facts<'a> {
    /// TLS ended in the filter's own listener.
    Tls {
        /// The server name that the agent asked for; `None`: it asked for none.
        sni: Option<&'a [u8]>,
        /// The target of the CONNECT request around it; `None`: the agent came to the transparent port.
        target: Option<&'a [u8]>,
    },
    /// Cleartext HTTP that the agent sent to the proxy port. Never gets a credential.
    Cleartext,
    /// Another proxy ended TLS; the request is routed to this upstream cluster.
    Cluster(&'a [u8]),
}

impl<'a> Facts<'a> {
    /// Reads `<SNI>|<CONNECT target>`, as the listener writes it into the filter state `keyward.connection`. Either
    /// may be empty or `-`, which is how Envoy prints a value that is not there.
    #[must_use]
    pub fn parse(connection: &'a [u8]) -> Self {
        let mut parts = connection.splitn(2, |b| *b == b'|');
        let mut next = || parts.next().filter(|part| !part.is_empty() && *part != b"-");
        Facts::Tls { sni: next(), target: next() }
    }
}

impl Facts<'_> {
    /// The port of an authority that names none.
    pub(crate) fn default_port(&self) -> u16 {
        if matches!(self, Facts::Cleartext) { HTTP_PORT } else { HTTPS_PORT }
    }
}

/// The canonical authority, once everything that is known about the connection agrees with it.
pub(super) fn agree(side: &AgentSide, facts: &Facts<'_>, head: &Head<'_>) -> Result<Authority, Reason> {
    let authority = authority(facts, head)?;
    match (side, facts) {
        (AgentSide::Tls, Facts::Tls { sni, target }) => {
            compare(&authority, *sni, *target)?;
            if head.scheme == b"https" { Ok(authority) } else { Err(Reason::Cleartext) }
        }
        (AgentSide::Tls, Facts::Cleartext) if head.scheme == b"http" => Ok(authority),
        (AgentSide::TrustedPlaintext { .. }, Facts::Cluster(_)) => Ok(authority),
        // The listener did not say what this agent side needs: whatever the request is, it is not as configured.
        _ => Err(Reason::SniMissing),
    }
}

/// The canonical authority of the head alone.
pub(super) fn authority(facts: &Facts<'_>, head: &Head<'_>) -> Result<Authority, Reason> {
    Authority::parse_or(head.authority, facts.default_port()).map_err(|_| Reason::AuthorityMalformed)
}

/// The canonical hosts that a request may have been meant for, where its head and its connection do not agree.
pub(super) fn hosts(facts: &Facts<'_>, head: &Head<'_>) -> Vec<String> {
    let named = authority(facts, head).ok().map(|authority| authority.host);
    let asked = match facts {
        Facts::Tls { sni, .. } => sni.and_then(|sni| authority::name(sni).ok()),
        Facts::Cleartext | Facts::Cluster(_) => None,
    };
    let mut hosts: Vec<String> = named.into_iter().collect();
    hosts.extend(asked.filter(|asked| !hosts.contains(asked)));
    hosts
}

fn compare(authority: &Authority, sni: Option<&[u8]>, target: Option<&[u8]>) -> Result<(), Reason> {
    let sni = sni.ok_or(Reason::SniMissing)?;
    // The canonical form of a name is itself in lower case.
    if !sni.eq_ignore_ascii_case(authority.host.as_bytes()) {
        return Err(authority::name(sni).map_or(Reason::SniMissing, |_| Reason::SniMismatch));
    }
    let agrees = match target {
        // The transparent port stands for 443.
        None => authority.port == HTTPS_PORT,
        Some(target) => Authority::parse(target).is_ok_and(|target| target == *authority),
    };
    if agrees { Ok(()) } else { Err(Reason::TargetMismatch) }
}
