//! `interception: Routes`: other hosts pass untouched, and no credentialed host hides in such a tunnel.

use std::net::SocketAddr;
use std::time::Duration;

use harness::client::{Agent, Failure, Http, Request, Way, connect};
use harness::gateway::{Gateway, HOST, Manifests, NAME};
use harness::objects;
use harness::provider::{Options, Provider};
use harness::scenario::{KEY, PLACEHOLDER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const OTHER: &str = "other.example";

/// The worked example with `interception: Routes`, its provider, and another host's.
async fn passing_others() -> (Provider, Provider, Gateway) {
    let provider = Provider::accepting(KEY).await.unwrap();
    let names = vec![OTHER.to_owned()];
    let other = Provider::start(Options { names, ..Options::default() }).await.unwrap();
    let manifests =
        Manifests::example(&provider).alias(&[OTHER], &other).gateway_spec("interception: Routes");
    let gateway = Gateway::builder(manifests).key(KEY).start().await;
    (provider, other, gateway)
}

fn ways(gateway: &Gateway, host: &str) -> [Way; 2] {
    let ready = gateway.ready();
    [Way::Proxy(ready.proxy, format!("{host}:443")), Way::Direct(ready.transparent)]
}

#[tokio::test]
async fn another_host_shows_its_own_certificate_and_a_route_host_the_gateways() {
    let (provider, other, gateway) = passing_others().await;
    for http in [Http::One, Http::Two] {
        for way in ways(&gateway, OTHER) {
            let context = format!("{way:?} {http:?}");
            let agent = Agent::new(way.clone(), http, OTHER, other.ca());
            let request = Request::messages().authority(OTHER).header("x-api-key", PLACEHOLDER);
            assert_eq!(agent.send(&request).await.expect(&context).status, 200, "{context}");
            assert_eq!(other.only_request().values("x-api-key"), [PLACEHOLDER], "{context}");
            let intercepted = Agent::new(way, http, OTHER, &gateway.ca()).send(&request).await;
            assert!(matches!(intercepted, Err(Failure::Handshake(_))), "{context}: {intercepted:?}");
        }
        for way in ways(&gateway, HOST) {
            let context = format!("{way:?} {http:?}");
            let answer = Agent::new(way, http, HOST, &gateway.ca()).send(&Request::messages()).await.unwrap();
            assert_eq!(answer.status, 200, "{context}: {answer:?} {:#?}", gateway.lines());
            assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
        }
    }
}

#[tokio::test]
async fn a_tunnel_to_another_host_closes_on_the_name_of_a_route_host() {
    let (provider, other, gateway) = passing_others().await;
    let proxy = gateway.ready().proxy;
    for (target, sni) in
        [(OTHER, HOST), ("127.0.0.1", HOST), (OTHER, "third.example"), ("third.example", OTHER)]
    {
        for http in [Http::One, Http::Two] {
            let both = format!("{}{}", gateway.ca(), other.ca());
            let agent = Agent::new(Way::Proxy(proxy, format!("{target}:443")), http, sni, &both);
            let result = agent.send(&Request::messages().authority(sni)).await;
            let failed = result.as_ref().is_err_and(Failure::before_request);
            assert!(failed, "CONNECT {target}, SNI {sni}, {http:?}: {result:?}");
        }
    }
    assert!(provider.requests().is_empty() && other.requests().is_empty());
    assert!(other.connections().iter().all(|connection| connection.bytes.is_empty()), "a byte went upstream");
}

/// A server that speaks first, and repeats what it hears.
async fn server_first() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"220 ready\r\n").await?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

#[tokio::test]
async fn a_protocol_in_which_the_server_speaks_first_passes() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let server = server_first().await;
    let manifests = Manifests::example(&provider)
        .gateway_spec("interception: Routes")
        .gateway_spec("allowedPrivateNetworks: [127.0.0.0/8]");
    let gateway = Gateway::builder(manifests).key(KEY).start().await;
    let mut stream = connect(gateway.ready().proxy, &server.to_string()).await.unwrap();
    let mut greeting = [0; 11];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut greeting)).await;
    read.expect("the greeting comes without a byte from the client").unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
}

#[tokio::test]
async fn a_private_address_is_not_reached_unless_its_network_is_allowed() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let server = server_first().await;
    for allowed in [false, true] {
        let manifests = Manifests::example(&provider).gateway_spec("interception: Routes");
        let manifests =
            if allowed { manifests.gateway_spec("allowedPrivateNetworks: [127.0.0.0/8]") } else { manifests };
        let gateway = Gateway::builder(manifests).key(KEY).start().await;
        let Ok(mut stream) = connect(gateway.ready().proxy, &server.to_string()).await else {
            assert!(!allowed, "the control does not reach the listener");
            continue;
        };
        let mut byte = [0; 1];
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut byte)).await;
        assert_eq!(matches!(read, Ok(Ok(1))), allowed, "allowed: {allowed}, {read:?}");
    }
}

/// A route to every provider with all of its hosts, and one to hundreds of patterns of one's own.
fn every_pattern() -> String {
    let own: Vec<String> = (0..450).map(|number| format!("\"*.tenant-{number}.example\"")).collect();
    let matches = ["openai", "google", "azure-openai", "bedrock"].map(|name| format!("{{provider: {name}}}"));
    let matches = format!("{}, {{provider: custom, hosts: [{}]}}", matches.join(", "), own.join(", "));
    [
        objects::route("every", &[NAME], &matches),
        objects::policy("every", "anthropic-credentials", objects::EXAMPLE_KEY),
    ]
    .concat()
}

#[tokio::test]
async fn envoy_takes_the_patterns_of_every_provider_and_hundreds_besides() {
    let provider = Provider::accepting(KEY).await.unwrap();
    // No name leads anywhere: that a host is known shows in what becomes of its request.
    let nowhere = "dns: {resolvers: [\"127.0.0.1:1\"]}";
    let manifests = Manifests::example(&provider).gateway_spec(nowhere).file("every.yaml", &every_pattern());
    let gateway = Gateway::builder(manifests).key(KEY).start().await;
    for host in ["a.tenant-0.example", "a.tenant-449.example", "bedrock-runtime.eu-west-1.amazonaws.com"] {
        let [way, _] = ways(&gateway, host);
        let request = Request::messages().authority(host);
        let answer = Agent::new(way, Http::One, host, &gateway.ca()).send(&request).await.unwrap();
        assert_eq!(answer.status, 503, "{host}: {answer:?}");
        gateway.wait_for_line(&[host, "injected"]).await;
    }
}
