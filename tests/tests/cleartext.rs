//! Requests in the clear that the proxy port forwards: they carry no credential, and are cleaned like the others.

use std::sync::{Arc, Mutex};

use harness::client::{Response, plain};
use harness::gateway::{Gateway, Manifests};
use harness::provider::Provider;
use harness::scenario::KEY;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What a server answers that would lead agents around the gateway.
const ANSWER: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\
    alt-svc: h3=\":443\"\r\nAlt-Svc: h2=\"elsewhere.example:443\"\r\nkeep-alive: timeout=5\r\nx-own: kept\r\n\
    content-length: 5\r\nconnection: close\r\n\r\nplain";

/// A web server without TLS, and the heads that it received.
struct Server {
    /// Host and port.
    authority: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") && matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {}
                record.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned());
                let _ = stream.write_all(ANSWER).await;
            }
        });
        Server { authority, heads }
    }

    /// The only head that came since the last call, in lower case.
    #[track_caller]
    fn only_head(&self) -> String {
        let heads = std::mem::take(&mut *self.heads.lock().unwrap());
        assert_eq!(heads.len(), 1, "{heads:?}");
        heads[0].to_ascii_lowercase()
    }
}

/// A gateway that forwards to 127.0.0.1 in the clear.
async fn forwarding() -> (Server, Gateway) {
    let provider = Provider::accepting(KEY).await.unwrap();
    let manifests = Manifests::example(&provider)
        .gateway_spec("interception: Routes")
        .gateway_spec("allowedPrivateNetworks: [127.0.0.0/8]");
    (Server::start().await, Gateway::builder(manifests).key(KEY).start().await)
}

/// Sends a request with these lines besides `Host`; the answer and what the server received.
async fn forwarded(server: &Server, gateway: &Gateway, lines: &str) -> (Response, String) {
    let authority = &server.authority;
    let request = format!("GET http://{authority}/a?b=c HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n");
    let answer = plain(gateway.ready().proxy, request.as_bytes()).await.expect(lines);
    assert_eq!(answer.status, 200, "{lines}: {answer:?}");
    let head = server.only_head();
    assert!(head.starts_with("get /a?b=c http/1.1\r\n"), "{head}");
    (answer, head)
}

#[tokio::test]
async fn the_host_of_an_absolute_url_counts_and_the_line_beside_it_does_not() {
    let (server, gateway) = forwarding().await;
    let authority = &server.authority;
    for host in ["api.anthropic.com", "hostile.example:1", ""] {
        let request = format!("GET http://{authority}/a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = plain(gateway.ready().proxy, request.as_bytes()).await.expect(host);
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
        let head = server.only_head();
        assert!(head.contains(&format!("\r\nhost: {authority}\r\n")), "{host}: {head}");
        assert_eq!(head.matches("\r\nhost:").count(), 1, "{host}: {head}");
    }
}

#[tokio::test]
async fn an_upgrade_to_http2_in_the_clear_is_not_passed_on() {
    let (server, gateway) = forwarding().await;
    let lines =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let (_, head) = forwarded(&server, &gateway, lines).await;
    for name in ["upgrade", "http2-settings", "h2c"] {
        assert!(!head.contains(name), "{head}");
    }
}

#[tokio::test]
async fn control_headers_are_taken_off_in_every_spelling_and_others_are_not() {
    let (server, gateway) = forwarding().await;
    for name in [
        "x-envoy-original-dst-host",
        "x-envoy-upstream-alt-stat-name",
        "X-Forwarded-For",
        "x-forwarded-host",
        "forwarded",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-keyward-connection",
        "X-Keyward-Reason",
        "proxy-authorization",
        "proxy-connection",
        "keep-alive",
        "te",
    ] {
        let (_, head) =
            forwarded(&server, &gateway, &format!("{name}: of-the-agent\r\nx-other: 1\r\n")).await;
        assert!(!head.contains("of-the-agent"), "{name}: {head}");
        assert!(head.contains("\r\nx-other: 1\r\n"), "{name}: {head}");
    }
    let (_, head) = forwarded(&server, &gateway, "Connection: x-hop\r\nX-Hop: of-the-agent\r\n").await;
    assert!(!head.contains("of-the-agent"), "{head}");
    // A server behind may read `_` as `-`.
    for name in ["x_forwarded_for", "X_Original_Url", "x_keyward_connection", "proxy_authorization"] {
        let (_, head) = forwarded(&server, &gateway, &format!("{name}: of-the-agent\r\nmy_own: 1\r\n")).await;
        assert!(!head.contains("of-the-agent"), "{name}: {head}");
        assert!(head.contains("\r\nmy_own: 1\r\n"), "{name}: {head}");
    }
}

#[tokio::test]
async fn an_answer_names_no_way_around_the_gateway() {
    let (server, gateway) = forwarding().await;
    let (answer, _) = forwarded(&server, &gateway, "").await;
    for name in ["alt-svc", "keep-alive", "link"] {
        assert_eq!(answer.values(name), [""; 0], "{answer:?}");
    }
    assert_eq!((answer.values("x-own"), &answer.body[..]), (vec!["kept"], &b"plain"[..]));
}
