//! Agents that shake hands and hang up without a request.
//!
//! Some clients, Node among them, verify the certificate when the handshake is over, and end the connection without an
//! alert. Envoy sees a connection that was fine and carried nothing; only the absence of a request tells.

use std::collections::BTreeMap;

use super::access::Entry;

/// Tunnels that are open at once and known here. Beyond, all are forgotten: a hint is lost, never memory.
const MOST: usize = 10_000;

/// The agents' ends of tunnels of which one entry came and another may follow.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<String, Known>);

/// What is known of a tunnel. Entries of what it carried and of its end come in either order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Something was said of it.
    Said,
    /// It led into the interception chain.
    HandedOn,
    /// It has ended, after TLS was answered; whether it passed untouched is not known yet.
    Ended,
}

impl Peers {
    /// Takes an entry in. Whether it shows the end of a tunnel in which TLS was answered and nothing followed.
    pub(super) fn is_silent_end(&mut self, entry: &Entry) -> bool {
        let peer = entry.text("peer");
        if entry.ends_connect() {
            let answered = entry.number("bytes_sent") > 0;
            return match self.0.remove(peer) {
                Some(Known::Said) => false,
                None if entry.ends_inspected() && answered => {
                    self.keep(peer, Known::Ended);
                    false
                }
                _ => answered,
            };
        }
        if entry.text("target") == "-" {
            return false;
        }
        match (entry.is_handed_on(), self.0.get(peer)) {
            (handed_on, Some(Known::Ended)) => {
                self.0.remove(peer);
                handed_on
            }
            (true, Some(_)) => false,
            (true, None) => {
                self.keep(peer, Known::HandedOn);
                false
            }
            (false, _) => {
                self.keep(peer, Known::Said);
                false
            }
        }
    }

    fn keep(&mut self, peer: &str, known: Known) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(peer.to_owned(), known);
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
        // Where the agent hangs up, the end of the tunnel comes before what it carried.
        let inspected = end.replace(r#""status":200"#, r#""status":200,"upstream":"envoy://tunnel/""#);
        check(&[&inspected, untouched], false);
        check(&[&inspected, handed_on], true);
        check(&[untouched, &inspected], false);
        check(&[handed_on, &inspected], true);
        check(&[handed_on, request, &inspected], false);
        check(
            &[r#"{"log":"proxy","method":"CONNECT","status":200,"peer":"127.0.0.1:1","bytes_sent":0}"#],
            false,
        );
        check(&[r#"{"log":"request","target":null,"peer":"127.0.0.1:1"}"#], false);
    }
}
