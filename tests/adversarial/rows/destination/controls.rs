//! D9: headers that could steer a proxy or a server behind it.

use harness::scenario::KEY;

use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::OTHER;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("D9.stripped", "control headers of the agent's do not reach the provider", EVERY, stripped),
        Row::new("D9.other-host", "nor a host that no rule names", EVERY, other_host),
        Row::new("D9.effect", "control headers change neither host, path, method nor verdict", EVERY, effect)
            .proved_by_itself(),
        Row::new(
            "D9.answer",
            "Envoy's control headers in an answer have no effect and nothing is added",
            EVERY,
            answer,
        )
        .proved_by_itself(),
    ]
}

const CONTROLS: [(&str, &str); 25] = [
    ("x-envoy-original-dst-host", "11.22.33.66:443"),
    ("x-envoy-original-path", "/v1/files"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-upstream-alt-stat-name", "x"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-max-retries", "9"),
    ("x-envoy-force-trace", "1"),
    ("x-envoy-internal", "true"),
    ("x-envoy-decorator-operation", "x"),
    ("x-envoy-expected-rq-timeout-ms", "1"),
    ("x-envoy-peer-metadata", "x"),
    ("x-original-url", "/v1/files"),
    ("x-rewrite-url", "/v1/files"),
    ("x-http-method", "DELETE"),
    ("x-http-method-override", "DELETE"),
    ("x-method-override", "DELETE"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-host", "hostile.example"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-port", "80"),
    ("x-forwarded-client-cert", "By=x;URI=y"),
    ("forwarded", "host=hostile.example"),
    ("x-keyward-trap", "1"),
    ("x-keyward-reason", "none"),
    ("x-keyward-connection", "hostile.example|hostile.example:443"),
];

fn with_controls(request: Request) -> Request {
    CONTROLS.iter().fold(request, |request, (name, value)| request.field(name, value))
}

async fn stripped(stage: Stage) {
    let reply = stage.ask(&with_controls(Request::messages())).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let received = stage.world.anthropic.only_request();
    assert_eq!(received.values("x-api-key"), [KEY]);
    for (name, _) in CONTROLS {
        assert!(received.values(name).is_empty(), "{name} reached the provider");
    }
}

async fn other_host(stage: Stage) {
    let request = with_controls(Request::messages().authority(OTHER));
    let reply = stage.send(&stage.agent_for(OTHER), &request).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let received = stage.world.other.only_request();
    for (name, _) in CONTROLS {
        assert!(received.values(name).is_empty(), "{name} reached the host");
    }
}

async fn effect(stage: Stage) {
    for (name, value) in CONTROLS {
        let reply = stage.ask(&Request::messages().field(name, value)).await;
        assert_eq!(reply.status(), 200, "{name}: {reply:?}");
        let received = stage.world.anthropic.only_request();
        assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/v1/messages"), "{name}");
        assert_eq!(received.values("x-api-key"), [KEY], "{name}");
        assert_eq!(stage.world.hostile.accepted(), 0, "{name} led elsewhere");
    }
}

async fn answer(stage: Stage) {
    let steering = [
        ("x-envoy-upstream-service-time", "1"),
        ("x-accel-redirect", "/secret"),
        ("x-sendfile", "/etc/passwd"),
    ];
    stage.world.anthropic.provider.behave(|behaviour| {
        behaviour.headers = steering.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    });
    let reply = stage.ask(&Request::messages()).await;
    let answer = reply.answered().expect("an answer");
    assert_eq!(answer.status, 200);
    for name in ["x-request-id", "x-envoy-decorator-operation", "x-envoy-attempt-count", "via"] {
        assert!(answer.values(name).is_empty(), "{name} was added");
    }
    assert_eq!(answer.values("server"), ["provider"]);
}
