//! Agents that shake hands and hang up without a request.
//!
//! Some clients, Node among them, verify the certificate when the handshake is over, and end the connection without an
//! alert. Envoy sees a connection that was fine and carried nothing; only the absence of a request tells.

use std::collections::BTreeSet;

use super::access::Entry;

/// Tunnels that are open at once and known here. Beyond, all are forgotten: a hint is lost, never memory.
const MOST: usize = 10_000;

/// The agents' ends of tunnels that had something said of them.
#[derive(Default)]
pub(super) struct Peers(BTreeSet<String>);

impl Peers {
    /// Takes an entry in. Whether it is the end of a tunnel in which TLS was answered and nothing followed.
    pub(super) fn is_silent_end(&mut self, entry: &Entry) -> bool {
        let peer = entry.text("peer");
        if entry.ends_connect() {
            return !self.0.remove(peer) && entry.number("bytes_sent") > 0;
        }
        if entry.text("target") != "-" && !entry.is_handed_on() {
            if self.0.len() >= MOST {
                self.0.clear();
            }
            self.0.insert(peer.to_owned());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entries: &[&str], expected: bool) {
        let mut peers = Peers::default();
        let mut last = false;
        for entry in entries {
            last = peers.is_silent_end(&Entry::parse(entry).expect("an entry"));
        }
        assert_eq!(last, expected, "{entries:?}");
        assert!(peers.0.is_empty());
    }

    #[test]
    fn a_tunnel_without_a_request_is_told_from_others() {
        let end = r#"{"log":"proxy","method":"CONNECT","status":200,"peer":"127.0.0.1:1","bytes_sent":900}"#;
        let request = r#"{"log":"request","target":"a.test:443","peer":"127.0.0.1:1"}"#;
        let handshake = r#"{"log":"handshake","target":"a.test:443","peer":"127.0.0.1:1","tls_failure":"x"}"#;
        let untouched =
            r#"{"log":"tunnel","target":"a.test:443","peer":"127.0.0.1:1","chain":"passthrough"}"#;
        let handed_on = r#"{"log":"tunnel","target":"a.test:443","peer":"127.0.0.1:1","chain":"intercept"}"#;
        check(&[end], true);
        check(&[handed_on, end], true);
        for said in [request, handshake, untouched] {
            check(&[said, end], false);
            check(&[said, end, end], true);
        }
        check(
            &[r#"{"log":"proxy","method":"CONNECT","status":200,"peer":"127.0.0.1:1","bytes_sent":0}"#],
            false,
        );
        check(&[r#"{"log":"request","target":null,"peer":"127.0.0.1:1"}"#], false);
    }
}
