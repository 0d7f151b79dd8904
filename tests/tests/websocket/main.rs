//! WebSockets on a real Envoy: the handshake gets the credential and goes to the provider over HTTP/1.1, whatever else
//! that speaks; then bytes flow as they are.

mod flow;
mod server;

use harness::client::frames::{self, Frame, Frames};
use harness::client::{Agent, Http, Http1, Request, Response};
use harness::gateway::{Gateway, Manifests, NAME};
use harness::objects;
use harness::scenario::{KEY, PLACEHOLDER};
use server::{Answer, Server};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The host with a credential.
const OPENAI: &str = "api.openai.com";
/// A host that no route names.
const OTHER: &str = "sockets.example";
/// The key that the provider is to get.
const REAL: &str = "sk-proj-real-7Yt2kP9wQ4mZ1vXc";
/// A key of the agent's.
const OWN: &str = "sk-agents-own-account-0123456789";

const REALTIME: &str = "/v1/realtime?model=gpt-realtime";

/// A route and policy for the host.
fn objects() -> String {
    [
        objects::secret("openai-credentials", &[("token", REAL)]),
        objects::route("openai", &[NAME], "{provider: openai}"),
        objects::policy("openai", "openai-credentials", objects::BEARER),
    ]
    .concat()
}

type Socket = Http1<TlsStream<TcpStream>>;

/// A gateway in front of a provider that offers these protocols.
async fn gateway(alpn: &[&'static str], change: impl FnOnce(Manifests) -> Manifests) -> (Server, Gateway) {
    let server = Server::start(&[OPENAI, OTHER], alpn).await;
    let manifests = Manifests::worked_example()
        .alias_at(&[OPENAI, OTHER], server.port(), server.ca())
        .file("openai.yaml", &objects());
    let gateway = Gateway::builder(change(manifests)).key(KEY).start().await;
    (server, gateway)
}

/// Agents that speak HTTP/1.1 and want this host, by each port.
fn agents(gateway: &Gateway, host: &str) -> [(&'static str, Agent); 2] {
    [("proxy", gateway.agent(Http::One, host)), ("transparent", gateway.transparent_agent(Http::One, host))]
}

/// A handshake with `Connection: Upgrade` in front of these lines, unless they say it in another way.
fn handshake(host: &str, path: &str, lines: &[(&str, &str)]) -> Request {
    let says = lines.iter().any(|(name, _)| *name == "Connection");
    let request = Request::new("GET", host, path);
    let request = if says { request } else { request.header("Connection", "Upgrade") };
    request
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .headers(lines)
}

/// Asks for a WebSocket: the answer's head, and the connection.
async fn ask(agent: &Agent, request: &Request) -> (Response, Socket) {
    let mut connection = agent.open_http1().await.expect("a connection");
    connection.write(&request.to_http1()).await.expect("an open connection");
    let head = connection.head().await.expect("an answer");
    (head, connection)
}

/// Opens a WebSocket as an SDK does. Panics when it is not opened.
async fn open(agent: &Agent) -> TlsStream<TcpStream> {
    let bearer = format!("Bearer {PLACEHOLDER}");
    let (answer, connection) = ask(agent, &handshake(OPENAI, REALTIME, &[("Authorization", &bearer)])).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    connection.into_inner()
}

type Lines = Vec<(&'static str, String)>;

/// What an agent may send with its handshake, and the subprotocols that are left of it.
fn handshakes() -> Vec<(Lines, Vec<&'static str>)> {
    let own = format!("Bearer {OWN}");
    let member = format!("openai-insecure-api-key.{OWN}");
    vec![
        (vec![], vec![]),
        (vec![("Authorization", format!("Bearer {PLACEHOLDER}"))], vec![]),
        (vec![("Authorization", own.clone())], vec![]),
        (
            vec![
                ("Authorization", own.clone()),
                ("authorization", own.clone()),
                ("openai-api-key", OWN.into()),
            ],
            vec![],
        ),
        (
            vec![("Sec-WebSocket-Protocol", format!("realtime, {member}, openai-beta.realtime-v1"))],
            vec!["realtime, openai-beta.realtime-v1"],
        ),
        (
            vec![("Sec-WebSocket-Protocol", "realtime".into()), ("Sec-WebSocket-Protocol", member.clone())],
            vec!["realtime"],
        ),
        (vec![("Sec-WebSocket-Protocol", member)], vec![]),
        (vec![("Connection", "Upgrade, authorization".into()), ("Authorization", own.clone())], vec![]),
        (
            vec![
                ("Connection", "authorization".into()),
                ("Connection", "keep-alive, upgrade".into()),
                ("Authorization", own),
            ],
            vec![],
        ),
    ]
}

#[tokio::test]
async fn a_handshake_carries_our_credential_alone_and_arrives_in_http1() {
    for alpn in [&["http/1.1"][..], &["h2", "http/1.1"]] {
        let (server, gateway) = gateway(alpn, |manifests| manifests).await;
        for (way, agent) in agents(&gateway, OPENAI) {
            let plain = agent.send(&Request::new("GET", OPENAI, "/v1/models")).await.expect(way);
            assert_eq!((plain.status, server.only().alpn.as_str()), (200, alpn[0]), "{way}: a request");
            for path in [REALTIME, "/v1/responses"] {
                for (lines, subprotocols) in handshakes() {
                    let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
                    let (answer, _connection) = ask(&agent, &handshake(OPENAI, path, &lines)).await;
                    let seen = server.only();
                    let case = format!("{alpn:?}, {way}, {path}, {lines:?}: {answer:?}, {seen:?}");
                    assert_eq!(answer.status, 101, "{case}");
                    assert_eq!(
                        (seen.alpn.as_str(), seen.line.as_str()),
                        ("http/1.1", format!("GET {path} HTTP/1.1").as_str()),
                        "{case}"
                    );
                    assert_eq!(seen.values("authorization"), [format!("Bearer {REAL}")], "{case}");
                    assert!(!seen.mentions(OWN) && !seen.mentions(PLACEHOLDER), "{case}");
                    assert_eq!(seen.values("upgrade"), ["websocket"], "{case}");
                    assert!(
                        seen.values("connection").join(",").to_ascii_lowercase().contains("upgrade"),
                        "{case}"
                    );
                    assert_eq!(seen.values("sec-websocket-protocol"), subprotocols, "{case}");
                    let chosen: &[&str] = if subprotocols.is_empty() { &[] } else { &["realtime"] };
                    assert_eq!(answer.values("sec-websocket-protocol"), chosen, "{case}");
                    assert!(!answer.mentions(REAL), "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_by_the_provider_comes_back_without_the_credential_and_opens_nothing() {
    let (server, gateway) = gateway(&["h2", "http/1.1"], |manifests| manifests).await;
    for (way, agent) in agents(&gateway, OPENAI) {
        for status in [401, 403, 426] {
            server.answers(Answer::Refuse(status));
            let hidden = Request::new("GET", OPENAI, "/v1/hidden");
            let (head, mut connection) = ask(&agent, &handshake(OPENAI, REALTIME, &[])).await;
            let answer = connection.rest(head, "GET").await.expect(way);
            assert_eq!(answer.status, status, "{way}: {answer:?}");
            assert_eq!(&answer.body[..], br#"{"error":"no"}"#, "{way}");
            assert_eq!(answer.values("x-echo"), ["Bearer [redacted]"], "{way}: {answer:?}");
            assert_eq!(server.only().values("authorization"), [format!("Bearer {REAL}")], "{way}");
            // What follows is a request like any other, if the connection is still open.
            let next = connection.send(&hidden.to_http1()).await;
            let received = server.take();
            assert!(
                next.is_err() || next.is_ok_and(|next| next.status == 200) && received.len() == 1,
                "{way}"
            );
            let judged = |seen: &server::Seen| seen.values("authorization") == [format!("Bearer {REAL}")];
            assert!(received.iter().all(judged), "{way}: {received:?}");
        }
    }
}

#[tokio::test]
async fn a_host_without_a_route_gets_its_upgrade_as_it_is_or_a_refusal() {
    let bearer = format!("Bearer {OWN}");
    let request = handshake(OTHER, "/socket", &[("Authorization", &bearer)]);
    let (server, allowing) = gateway(&["h2", "http/1.1"], |manifests| manifests).await;
    for (way, agent) in agents(&allowing, OTHER) {
        let (answer, _connection) = ask(&agent, &request).await;
        let seen = server.only();
        assert_eq!((answer.status, seen.alpn.as_str()), (101, "http/1.1"), "{way}: {answer:?}");
        assert_eq!(seen.values("authorization"), [bearer.as_str()], "{way}");
    }
    drop(allowing);
    let (server, denying) = gateway(&["h2", "http/1.1"], Manifests::deny_all).await;
    let refused = denying.agent(Http::One, OTHER).open().await.expect_err("a refusal").refusal();
    assert_eq!((refused.status, refused.reason()), (403, "denied_by_policy"));
    assert!(denying.transparent_agent(Http::One, OTHER).open().await.is_err());
    // By the connection of another host it is misdirected, and so never a way around.
    let (answer, _connection) = ask(&denying.agent(Http::One, OPENAI), &request).await;
    assert_eq!((answer.status, answer.reason()), (421, "misdirected"));
    assert!(server.take().is_empty());
}

#[tokio::test]
async fn extended_connect_is_refused() {
    let (server, gateway) = gateway(&["h2", "http/1.1"], |manifests| manifests).await;
    for agent in [gateway.agent(Http::Two, OPENAI), gateway.transparent_agent(Http::Two, OPENAI)] {
        let plain = agent.send(&Request::new("GET", OPENAI, "/v1/models")).await.expect("an answer");
        assert_eq!((plain.status, server.only().alpn.as_str()), (200, "h2"));
        let mut connection = Frames::open(agent.open().await.unwrap()).await.unwrap();
        assert_eq!(connection.next().await.expect("settings").kind, frames::SETTINGS);
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", REALTIME),
            (":authority", OPENAI),
            ("sec-websocket-version", "13"),
        ];
        connection.send(&[Frame::headers(1, 0, &fields)]).await.unwrap();
        // Envoy ends the connection, or the stream, or answers; the first frame of an answer that opens it would be
        // a status of 200, which is one byte (RFC 7541, appendix A).
        let about = |frame: &Frame| frame.kind == frames::GOAWAY || frame.stream == 1;
        let seen = connection.until(about).await;
        let opens = |frame: &Frame| frame.kind == frames::HEADERS && frame.payload.first() == Some(&0x88);
        assert!(!seen.iter().any(opens), "{seen:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert!(server.take().is_empty());
    }
}
