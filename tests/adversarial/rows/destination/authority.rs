//! D2: an authority that can be read in two ways is one host in one form, or it is refused.

use harness::gateway::HOST;
use harness::scenario::KEY;

use crate::row::{EVERY, HTTP1, HTTP2, PROXY, Row};
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::{Reply, Request};
use crate::world::{HOSTILE, OTHER, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D2.spelling",
            "case, default port and final dot: the same host, with the key",
            EVERY,
            spelling,
        )
        .proved_by_itself(),
        Row::new(
            "D2.authority",
            "user, other ports, addresses, brackets, odd bytes in the authority: refused",
            EVERY,
            odd,
        ),
        Row::new("D2.no-authority", "no authority, or an empty one: refused", EVERY, none),
        Row::new(
            "D2.two-hosts",
            "a second Host line names another host: refused, or it counts for nothing",
            HTTP1,
            two,
        )
        .proved_by_itself(),
        Row::new(
            "D2.host-beside",
            "`host` beside `:authority` names another host: refused, or gone",
            HTTP2,
            beside,
        )
        .proved_by_itself(),
        Row::new(
            "D2.absolute",
            "the target is an absolute URL of another host than Host says: refused",
            HTTP1,
            absolute,
        ),
        Row::new(
            "D2.connect-spelling",
            "CONNECT to the host in other spellings: the same host",
            PROXY,
            connect_same,
        )
        .proved_by_itself(),
        Row::new(
            "D2.connect",
            "CONNECT targets with user, odd ports, addresses, odd bytes: refused",
            PROXY,
            connect,
        ),
    ]
}

async fn spelling(stage: Stage) {
    for authority in
        ["api.anthropic.com:443", "API.Anthropic.COM", "api.anthropic.com.", "API.anthropic.com.:443"]
    {
        let reply = stage.ask(&Request::messages().authority(authority)).await;
        assert_eq!(reply.status(), 200, "{authority}: {reply:?}");
        let received = stage.world.anthropic.only_request();
        assert_eq!(received.values("x-api-key"), [KEY], "{authority}");
        let mut host = received.authority.trim_end_matches(":443");
        if stage.subject.kind != Kind::Keyward {
            // Only Keyward promises to take it off.
            host = host.trim_end_matches('.');
        }
        assert!(host.eq_ignore_ascii_case(HOST), "{authority} went upstream as {}", received.authority);
    }
}

/// Authorities that a careless reader takes for the credentialed host, or for another one.
const ODD: [&[u8]; 24] = [
    b"api.anthropic.com:8443",
    b"api.anthropic.com:80",
    b"api.anthropic.com:0",
    b"api.anthropic.com:443:443",
    b"api.anthropic.com:99999",
    b"api.anthropic.com:4 43",
    b"api.anthropic.com..",
    b".api.anthropic.com",
    b"user@api.anthropic.com",
    b"user:secret@api.anthropic.com:443",
    b"api.anthropic.com@hostile.example",
    b"hostile.example#@api.anthropic.com",
    b"api.anthropic.com/@hostile.example",
    b"api.anthropic.com\\@hostile.example",
    b"api.anthropic.com?.hostile.example",
    b"api.anthropic.com%2ehostile.example",
    b"api.anthropic.com,hostile.example",
    b"api.anthropic.com hostile.example",
    b"[::1]",
    b"[api.anthropic.com]",
    b"11.22.33.1",
    b"*.anthropic.com",
    "аpi.anthropic.com".as_bytes(),
    b"api.anthropic.com.hostile.example",
];

async fn odd(stage: Stage) {
    stage.world.zone.set("api.anthropic.com.hostile.example", &[crate::world::HOSTILE_ADDRESS]);
    for authority in ODD {
        let reply = stage.ask(&Request::messages().authority(authority)).await;
        let text = String::from_utf8_lossy(authority);
        assert!(reply.is_refusal(), "{text}: {reply:?}");
        // What is not HTTP at all is answered by Envoy, or its stream is reset.
        stage.refused_with_any(&reply, &[0, 400, 421]);
    }
    stage.nothing_upstream().await;
}

async fn none(stage: Stage) {
    for request in [Request::messages().no_authority(), Request::messages().authority("")] {
        let reply = stage.ask(&request).await;
        stage.refused_with_any(&reply, &[0, 400, 421]);
        stage.nothing_upstream().await;
    }
}

/// Either refused with nothing upstream, or upstream is the credentialed host with no trace of another.
async fn one_host(stage: &Stage, reply: &Reply) {
    if reply.is_refusal() {
        stage.refused_with_any(reply, &[0, 400, 421]);
        return stage.nothing_upstream().await;
    }
    let received = stage.world.anthropic.only_request();
    assert_eq!(received.values("x-api-key"), [KEY]);
    assert_eq!(received.authority.trim_end_matches(":443"), HOST);
    assert!(!received.mentions(HOSTILE), "the other host went upstream: {:?}", received.names());
    assert!(stage.world.hostile.take_requests().is_empty(), "the other host received a request");
}

async fn two(stage: Stage) {
    for (first, second) in [(HOST, HOSTILE), (HOSTILE, HOST)] {
        let reply = stage.ask(&Request::messages().authority(first).field("Host", second)).await;
        one_host(&stage, &reply).await;
    }
}

async fn beside(stage: Stage) {
    let reply = stage.ask(&Request::messages().field("host", HOSTILE)).await;
    one_host(&stage, &reply).await;
}

async fn absolute(stage: Stage) {
    for (url, host) in [
        ("https://hostile.example/v1/messages", HOST),
        ("https://api.anthropic.com/v1/messages", HOSTILE),
        ("https://user@hostile.example/v1/messages", HOST),
        ("https://hostile.example:443/v1/messages", HOSTILE),
    ] {
        let reply = stage.ask(&Request::messages().path(url).authority(host)).await;
        if url.contains(HOST) && !reply.is_refusal() {
            // The URL counts and Host does not (RFC 9112, section 3.2.2).
            one_host(&stage, &reply).await;
            continue;
        }
        stage.refused_with_any(&reply, &[400, 421]);
        stage.nothing_upstream().await;
    }
}

async fn connect_same(stage: Stage) {
    for target in ["API.Anthropic.com:443", "api.anthropic.com.:443"] {
        let agent = stage.agent_with(target, Some(HOST));
        let reply = stage.send(&agent, &Request::messages()).await;
        if reply.is_refusal() {
            stage.nothing_upstream().await;
            continue;
        }
        assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY], "{target}");
    }
}

async fn connect(stage: Stage) {
    let address = format!("{}:443", ip(1));
    let mapped = format!("[::ffff:{}]:443", ip(1));
    for target in [
        "user@api.anthropic.com:443",
        "api.anthropic.com:443@hostile.example:443",
        "api.anthropic.com:8443",
        "api.anthropic.com:80",
        "api.anthropic.com",
        "api.anthropic.com:",
        "api.anthropic.com:0443x",
        "api.anthropic.com:99999",
        "https://api.anthropic.com:443",
        "[api.anthropic.com]:443",
        "api.anthropic.com..:443",
        "api.anthropic.com%00:443",
        ":443",
        OTHER,
        &address,
        &mapped,
    ] {
        let agent = stage.agent_with(target, Some(HOST));
        let reply = stage.send(&agent, &Request::messages()).await;
        assert!(reply.is_refusal(), "{target}: {reply:?}");
        stage.refused_with_any(&reply, &[0, 400, 403, 404, 421]);
        stage.nothing_upstream().await;
    }
}
