//! Envoy's admin interface, over its Unix socket: whether it is ready, where it listens, and its statistics. Nothing else
//! is asked, and nothing is changed.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The longest answer: statistics of thousands of aliases have some megabytes.
const ANSWER_LIMIT: u64 = 16 << 20;

/// Whether every listener is in place and every first configuration has arrived.
pub(super) async fn is_ready(socket: &Path) -> bool {
    matches!(get(socket, "/ready").await, Ok((200, _)))
}

/// The addresses that listeners are bound to, by the listener's name; internal ones have none.
pub(super) async fn listeners(socket: &Path) -> io::Result<BTreeMap<String, SocketAddr>> {
    let (_, body) = get(socket, "/listeners?format=json").await?;
    parse_listeners(&body).map_err(io::Error::other)
}

/// The statistics whose names this expression matches, in the text format of Prometheus.
///
/// # Errors
/// It does not answer, or with too much.
pub(crate) async fn statistics(socket: &Path, filter: &str) -> io::Result<String> {
    let filter: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
    match get(socket, &format!("/stats/prometheus?filter={filter}")).await? {
        (200, text) => Ok(text),
        (status, _) => Err(io::Error::other(format!("status {status}"))),
    }
}

async fn get(socket: &Path, path: &str) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // One that is cut off here is incomplete, and says so.
    stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    parse_answer(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    Some((status, if chunked { dechunk(body)? } else { body.to_owned() }))
}

/// The content of a chunked body (RFC 9112, section 7.1).
fn dechunk(mut body: &str) -> Option<String> {
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(content);
        }
        content.push_str(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[derive(Deserialize)]
struct Listeners {
    #[serde(default)]
    listener_statuses: Vec<Listener>,
}

#[derive(Deserialize)]
struct Listener {
    name: String,
    local_address: Address,
}

#[derive(Deserialize)]
struct Address {
    socket_address: Option<Socket>,
}

#[derive(Deserialize)]
struct Socket {
    address: IpAddr,
    #[serde(default)]
    port_value: u16,
}

fn parse_listeners(body: &str) -> serde_json::Result<BTreeMap<String, SocketAddr>> {
    let listeners: Listeners = serde_json::from_str(body)?;
    let bound = |listener: Listener| {
        let socket = listener.local_address.socket_address?;
        Some((listener.name, SocketAddr::new(socket.address, socket.port_value)))
    };
    Ok(listeners.listener_statuses.into_iter().filter_map(bound).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_in_one_piece_or_in_chunks() {
        let table = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nLIVE\n", Some((200, "LIVE\n"))),
            (
                "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nLI\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
                Some((503, "LI\r\n0123456789a")),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nshort\r\n", None),
            ("garbage", None),
        ];
        for (answer, expected) in table {
            assert_eq!(
                parse_answer(answer),
                expected.map(|(status, body)| (status, body.to_owned())),
                "{answer}"
            );
        }
    }

    #[test]
    fn only_listeners_with_an_address_are_reported() {
        let body = r#"{"listener_statuses": [
            {"name": "mitm", "local_address": {"envoy_internal_address": {"server_listener_name": "mitm"}}},
            {"name": "proxy", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 33101}}}
        ]}"#;
        let bound = parse_listeners(body).unwrap();
        assert_eq!(bound, BTreeMap::from([("proxy".to_owned(), "127.0.0.1:33101".parse().unwrap())]));
        assert!(parse_listeners("{}").unwrap().is_empty());
    }
}
