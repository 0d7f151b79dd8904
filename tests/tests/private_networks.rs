//! The private-address guard on a real Envoy: what `allowedPrivateNetworks` opens and closes while it runs, and the
//! second layer, which judges the address that is about to be dialled, without the first.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::artefacts;
use harness::client::{Failure, Http1, Response, connect, plain};
use harness::gateway::{Gateway, Manifests};
use harness::process::Process;
use harness::provider::Provider;
use harness::scenario::KEY;
use harness::{admin, dump};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// How long a change may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A web server inside, without TLS, as host and port.
async fn inner_server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    // A name, because no host that is an address gets past the filter in the clear.
    let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\ninner").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    authority
}

fn get(server: &str) -> String {
    format!("GET http://{server}/ HTTP/1.1\r\nHost: {server}\r\n\r\n")
}

/// The body of the answer to a request in the clear, and to one through a tunnel that passes bytes.
async fn seen(proxy: SocketAddr, server: &str) -> [String; 2] {
    let body = |answer: Result<Response, Failure>| match answer {
        Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
        Err(failure) => format!("{failure:?}"),
    };
    let forwarded = plain(proxy, get(server).as_bytes()).await;
    let tunnelled = match connect(proxy, server).await {
        Ok(stream) => Http1::new(stream).send(get(server).as_bytes()).await,
        Err(failure) => Err(failure),
    };
    [body(forwarded), body(tunnelled)]
}

/// Waits until both ways lead inside, or neither does.
async fn wait_until(gateway: &Gateway, server: &str, open: bool, step: &str) {
    let end = Instant::now() + SOON;
    loop {
        let seen = seen(gateway.ready().proxy, server).await;
        if seen.iter().all(|body| (body == "inner") == open) {
            return;
        }
        assert!(Instant::now() < end, "{step}: {seen:?}\n{}", gateway.errors().join("\n"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_change_of_the_allowed_networks_takes_effect_and_envoy_refuses_none_of_it() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let server = inner_server().await;
    let base = Manifests::example(&provider).gateway_spec("interception: Routes");
    let allowing =
        |networks: &str| base.clone().gateway_spec(&format!("allowedPrivateNetworks: [{networks}]"));
    let gateway = Gateway::builder(base.clone()).key(KEY).start().await;
    wait_until(&gateway, &server, false, "at first").await;
    for (manifests, open, step) in [
        (allowing("127.0.0.0/8"), true, "allowed"),
        (allowing("10.0.0.0/8"), false, "another network"),
        (allowing("127.0.0.1/32, 10.0.0.0/8"), true, "one address"),
        (base.clone(), false, "as at first"),
        (allowing("127.0.0.0/8"), true, "a configuration that was there before"),
    ] {
        for (name, text) in manifests.files() {
            gateway.write_manifest(&name, &text);
        }
        wait_until(&gateway, &server, open, step).await;
        let refused = gateway.stats("(cds|lds|rds.*)\\.update_rejected");
        assert!(!refused.is_empty() && refused.values().all(|count| *count == 0), "{step}: {refused:?}");
    }
}

/// Takes a field away wherever it stands.
fn without(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|inner| without(inner, field));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| without(inner, field)),
        _ => {}
    }
}

/// What the gateway runs with: the cluster of requests in the clear, the filter that resolves for it, and what makes
/// Envoy's own answers ours.
fn parts(gateway: &Gateway) -> [Value; 3] {
    let dump = dump::parse(&gateway.admin("/config_dump"));
    let named = |name: &str, field: &str| {
        dump::part(&dump, |value| value["name"] == name && value[field].is_object()).clone()
    };
    let mut cluster = named("open-cleartext", "cluster_type");
    cluster.as_object_mut().expect("an object").remove("@type");
    let manager =
        dump::part(&dump, |value| value["stat_prefix"] == "proxy" && value["http_filters"].is_array());
    [cluster, named("dns-open", "typed_config"), manager["local_reply_config"].clone()]
}

/// An Envoy with those parts, without the first layer; `change` is made to them.
fn bootstrap(gateway: &Gateway, admin: &std::path::Path, change: impl Fn(&mut Value)) -> Value {
    let [cluster, resolver, replies] = parts(gateway).map(|mut part| {
        assert!(part["name"].is_null() || part.to_string().contains("resolved_address_filter"));
        for layer in ["resolved_address_filter", "disabled"] {
            without(&mut part, layer);
        }
        change(&mut part);
        part
    });
    let router = json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "open-cleartext"}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "guarded",
        "local_reply_config": replies,
        "http_filters": [resolver, router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "access_log": [{"name": "details", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE_DETAILS%\n"}},
        }}],
    });
    let listener = json!({
        "name": "guarded",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    });
    json!({
        "admin": {"address": {"pipe": {"path": admin}}},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    })
}

/// The answer to a request for the inner server, and what Envoy noted about it.
async fn ask(gateway: &Gateway, server: &str, change: impl Fn(&mut Value)) -> (Response, String) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let config = bootstrap(gateway, &socket, change).to_string();
    let mut command = std::process::Command::new(artefacts::envoy());
    command.args(["--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "20"]);
    let mut envoy = Process::spawn({
        command.args(["--config-yaml", &config]);
        command
    });
    let port = admin::port(&socket, &mut envoy).await;
    let answer = plain(([127, 0, 0, 1], port).into(), get(server).as_bytes()).await.expect("an answer");
    let details = envoy.first_line(SOON).await.expect("a line of the access log");
    envoy.stop();
    (answer, details)
}

#[tokio::test]
async fn without_its_first_layer_the_second_refuses_and_the_agent_is_told_what_it_would_be_told_anyway() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let server = inner_server().await;
    let gateway = Gateway::builder(Manifests::example(&provider)).key(KEY).start().await;

    let (answer, details) = ask(&gateway, &server, |_| {}).await;
    assert_eq!(details, "rbac_access_denied_matched_policy[private-address]");
    assert_eq!((answer.status, answer.reason()), (503, "upstream_refused"), "{answer:?}");
    assert_eq!(answer.values("content-type"), ["application/json"]);
    let body: Value = serde_json::from_slice(&answer.body).expect("a JSON body");
    assert_eq!(body["error"]["type"], "upstream_refused");

    // Without the second layer too, nothing keeps the request from the inner server.
    let (answer, _) = ask(&gateway, &server, |part| without(part, "http_filters")).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"inner"[..]), "{answer:?}");
}
