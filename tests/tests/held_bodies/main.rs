//! Requests that are held back until their body has arrived, on a real Envoy: to be signed, or to read their model.
//! What arrives is byte for byte what was sent; what may not be held is refused; what need not wait does not.

mod aborted;
mod limits;
mod many;
mod whole;
mod without;

use harness::client::upload::{Length, Upload};
use harness::client::{Agent, Http, Request, Response};
use harness::gateway::{Gateway, Manifests, NAME};
use harness::objects;
use harness::provider::aws::REGION;
use harness::provider::{Options, Provider};
use harness::scenario::KEY;

/// Hosts of the provider that prefers HTTP/2, and of the one that speaks HTTP/1.1 only.
const SUFFIXES: [&str; 2] = ["two.example", "one.example"];
/// What their rules hold bodies for.
const KINDS: [&str; 3] = ["models", "bedrock", "s3"];

/// The secret part of the key that requests are signed with.
const SIGNING: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY";

/// On `models.*` a rule for certain models, and one for `/v1/plain` that injects a header.
fn models() -> String {
    let hosts = "hosts: [models.two.example, models.one.example]";
    let matches = format!(
        "{{provider: custom, {hosts}, endpoints: [/v1/held], models: [claude-*]}}, \
         {{provider: custom, {hosts}, endpoints: [/v1/plain]}}"
    );
    [
        objects::route("models", &[NAME], &matches),
        objects::policy("models", "anthropic-credentials", objects::EXAMPLE_KEY),
    ]
    .concat()
}

/// On a service's hosts everything is signed.
fn signed(service: &str) -> String {
    let matches = format!("{{provider: custom, hosts: [{service}.two.example, {service}.one.example]}}");
    [
        objects::route(service, &[NAME], &matches),
        objects::policy(service, "aws", &objects::signing(REGION, service)),
    ]
    .concat()
}

/// A gateway, and the two providers behind it.
struct World {
    providers: [Provider; 2],
    gateway: Gateway,
}

impl World {
    /// The gateway with these lines in its spec.
    async fn start(lines: &[&str]) -> World {
        let (two, one) =
            (provider(SUFFIXES[0], &["h2", "http/1.1"]).await, provider(SUFFIXES[1], &["http/1.1"]).await);
        let manifests = [(SUFFIXES[0], &two), (SUFFIXES[1], &one)].into_iter().fold(
            Manifests::worked_example()
                .file("models.yaml", &models())
                .file("aws.yaml", &objects::aws_keys("aws", "AKIDEXAMPLE", SIGNING, None)),
            |manifests, (suffix, provider)| {
                let hosts = hosts_of(suffix);
                manifests.alias(&hosts.iter().map(String::as_str).collect::<Vec<_>>(), provider)
            },
        );
        let manifests = manifests.alias(&[harness::gateway::HOST], &two);
        let manifests = KINDS[1..].iter().fold(manifests, |manifests, service| {
            manifests.file(&format!("{service}.yaml"), &signed(service))
        });
        let manifests = lines.iter().fold(manifests, |manifests, line| manifests.gateway_spec(line));
        let gateway = Gateway::builder(manifests).key(KEY).start().await;
        World { providers: [two, one], gateway }
    }

    /// The provider of a host.
    fn provider(&self, host: &str) -> &Provider {
        &self.providers[usize::from(host.ends_with(SUFFIXES[1]))]
    }

    /// Agents for a host, by each port and protocol.
    fn ways(&self, host: &str) -> [(&'static str, Agent); 4] {
        let gateway = &self.gateway;
        [
            ("proxy, HTTP/1.1", gateway.agent(Http::One, host)),
            ("proxy, HTTP/2", gateway.agent(Http::Two, host)),
            ("transparent, HTTP/1.1", gateway.transparent_agent(Http::One, host)),
            ("transparent, HTTP/2", gateway.transparent_agent(Http::Two, host)),
        ]
    }
}

async fn provider(suffix: &str, alpn: &[&'static str]) -> Provider {
    let mut names = hosts_of(suffix);
    names.push(harness::gateway::HOST.into());
    let options = Options { names, alpn: alpn.to_vec(), ..Options::default() };
    Provider::start(options).await.expect("a provider")
}

fn hosts_of(suffix: &str) -> Vec<String> {
    KINDS.iter().map(|kind| format!("{kind}.{suffix}")).collect()
}

/// Every host whose requests are held.
fn hosts() -> Vec<String> {
    SUFFIXES.iter().flat_map(|suffix| hosts_of(suffix)).collect()
}

/// A request that is held, with a body of this size: JSON that names a model where there is room for it.
fn held(host: &str, size: usize) -> Request {
    let mut request = Request::new("POST", host, "/v1/held").header("content-type", "application/json");
    request.body = body_of(size);
    request
}

fn body_of(size: usize) -> Vec<u8> {
    const START: &[u8] = br#"{"model":"claude-test","x":""#;
    match size.checked_sub(START.len() + 2) {
        Some(room) => {
            let filler = (0..room).map(|at| b"abcdefghijklmnopqrstuvwxyz01234567890"[at % 37]);
            START.iter().copied().chain(filler).chain(*b"\"}").collect()
        }
        None => vec![b'x'; size],
    }
}

/// The ways to frame a body in a protocol.
fn framings(http: Http, request: &Request) -> Vec<(&'static str, Upload)> {
    let upload = |length| Upload::new(request.clone(), length);
    let trailed =
        |length| upload(length).trailer("x-checksum", "1").trailer("authorization", "Bearer agents-own");
    let mut all = vec![
        ("announced", upload(Length::Announced)),
        ("not announced", upload(Length::Unknown)),
        ("not announced, with trailers", trailed(Length::Unknown)),
    ];
    if http == Http::Two {
        all.push(("announced, with trailers", trailed(Length::Announced)));
    }
    all
}

/// The provider of this host received this body, once, with a credential, and no trailer.
#[track_caller]
fn arrived(world: &World, request: &Request, case: &str) {
    let received = world.provider(&request.authority).only_request();
    let version = if request.authority.ends_with(SUFFIXES[1]) { "HTTP/1.1" } else { "HTTP/2.0" };
    assert_eq!(
        (received.version.as_str(), received.path.as_str()),
        (version, request.path.as_str()),
        "{case}"
    );
    assert!(received.body == request.body, "{case}: {} bytes arrived, or others", received.body.len());
    assert!(
        received.trailers.is_empty() && !received.mentions("agents-own"),
        "{case}: {:?}",
        received.trailers
    );
    if request.authority.starts_with(KINDS[0]) {
        assert_eq!(received.values("x-api-key"), [KEY], "{case}");
    } else {
        let signed = received.values("authorization");
        assert!(signed.len() == 1 && signed[0].starts_with("AWS4-HMAC-SHA256 "), "{case}: {signed:?}");
    }
    assert!(!received.mentions(SIGNING), "{case}");
}

/// The request was refused in this way.
#[track_caller]
fn refused(answer: &Response, status: u16, reason: &str, case: &str) {
    assert_eq!((answer.status, answer.reason()), (status, reason), "{case}: {answer:?}");
    assert_eq!(answer.json()["error"]["type"], reason, "{case}");
}

/// What providers received since it was last looked at, decrypted.
#[derive(Default)]
struct Watch([Vec<usize>; 2]);

impl Watch {
    fn start(world: &World) -> Watch {
        let mut watch = Watch::default();
        drop(watch.fresh(world));
        watch
    }

    fn fresh(&mut self, world: &World) -> Vec<u8> {
        let mut fresh = Vec::new();
        for (provider, known) in world.providers.iter().zip(&mut self.0) {
            let connections = provider.connections();
            known.resize(connections.len(), 0);
            for (connection, known) in connections.iter().zip(known) {
                fresh.extend_from_slice(&connection.bytes[*known..]);
                *known = connection.bytes.len();
            }
        }
        fresh
    }

    /// Nothing of a request arrived, but what HTTP/2 says about its connection.
    #[track_caller]
    fn nothing(&mut self, world: &World, case: &str) {
        let requests: usize = world.providers.iter().map(|provider| provider.take_requests().len()).sum();
        let fresh = self.fresh(world);
        assert!(requests == 0 && fresh.len() < 200, "{case}: {requests} requests, {} bytes", fresh.len());
    }
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}
