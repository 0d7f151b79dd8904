//! Metrics: what `keyward dev --metrics-listen` says moves with what happens, is what `docs/metrics.md` lists, and all that
//! the dashboard and the alert rules ask for is there, in a real Prometheus. The endpoint itself can be attacked.

mod attack;
mod documents;
mod monitoring;
mod prometheus;
mod scrape;
mod values;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::client::{Http, Request};
use harness::gateway::{Builder, Gateway, HOST, Manifests};
use harness::google::{Account, Key, TokenEndpoint};
use harness::objects;
use harness::provider::Provider;
use harness::scenario::KEY;

use scrape::{Exposition, get};

/// The key of a Secret in a manifest.
const OTHER_KEY: &str = "other-key-7Jw2mPq9Xc4Vb6Nz1TfK";

const GATEWAY: &str = "default/echo-bot";

/// Where a gateway's Envoy is scraped.
const ENVOY: &str = "/gateways/default/echo-bot/metrics";

/// How long what happens may take to be seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The worked example, a key in a manifest, a Google account, and what stands behind them.
struct World {
    provider: Provider,
    endpoint: TokenEndpoint,
    gateway: Gateway,
}

impl World {
    async fn start() -> World {
        World::adjusted(|builder| builder).await
    }

    async fn adjusted(change: impl FnOnce(Builder) -> Builder) -> World {
        let provider = Provider::accepting(KEY).await.unwrap();
        let endpoint = TokenEndpoint::start().await;
        let account = Account::robot(Key::One, &endpoint.uri("/token"));
        let token = "secretKey: key.json, target: ProviderAuth, \
                     providerAuth: {type: GCPServiceAccount, gcp: {scopes: [https://a.example/scope]}}";
        let google = [
            objects::secret("google", &[("key.json", &account.key_file())]),
            objects::route("google", &["echo-bot"], "{provider: custom, hosts: [google.example]}"),
            objects::policy("google", "google", token),
        ];
        let manifests = Manifests::example(&provider)
            .file("other.yaml", &other(OTHER_KEY))
            .file("google.yaml", &google.concat());
        let builder = Gateway::builder(manifests).key(KEY).arguments(&["--metrics-listen", "127.0.0.1:0"]);
        let gateway = change(builder).start().await;
        World { provider, endpoint, gateway }
    }

    /// Where metrics are served.
    fn address(&self) -> SocketAddr {
        let ready = &self.gateway.events("ready")[0];
        let url = ready["metrics"].as_str().expect("the URL of the metrics");
        url.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics")).unwrap().parse().unwrap()
    }

    async fn scrape(&self, path: &str) -> Exposition {
        let answer = get(self.address(), path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        Exposition::parse(&answer.body)
    }

    /// Waits until a series of the controller has a value that will do.
    async fn until(&self, series: &str, holds: impl Fn(f64) -> bool) -> f64 {
        let end = Instant::now() + PATIENCE;
        loop {
            let scraped = self.scrape("/metrics").await;
            match scraped.find(series) {
                Some(value) if holds(value) => return value,
                last => assert!(Instant::now() < end, "{series} is {last:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A request with the key, by both protocols, and what Envoy counts of it by then.
    async fn traffic(&self) {
        for http in [Http::One, Http::Two] {
            let answer = self.gateway.agent(http, HOST).send(&Request::messages()).await.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
}

/// A route with a key of its own.
fn other(key: &str) -> String {
    [
        objects::secret("other", &[("token", key)]),
        objects::route("other", &["echo-bot"], "{provider: custom, hosts: [other.example]}"),
        objects::policy("other", "other", objects::BEARER),
    ]
    .concat()
}
