//! D13, D14 and F6 where destinations are allowed and denied one by one: by name, by address, by port.

mod inside;
mod reach;
mod withdrawal;

use std::net::SocketAddr;
use std::time::Duration;

use harness::client::{Failure, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::row::{Row, Variant};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::world::{Echo, ip};

/// A host that passes untouched, one below a suffix that does, and one that is denied though it is below it too.
const PASSED: &str = "passed.example";
const BELOW: &str = "one.wild.example";
const DENIED: &str = "denied.wild.example";
/// Two that no other row asks for, so that no Envoy has an address for them: one passes untouched, one is intercepted.
const FRESH: [&str; 2] = ["fresh.wild.example", "fresh.example"];
/// Where they are.
const RAW: u8 = 76;
/// Addresses that are allowed as such: 11.22.33.80 and its neighbour.
const ALLOWED: u8 = 80;

const LISTENERS: &str = "listeners: [{name: egress, protocol: TLS, tls: {mode: Terminate}}]";

/// Ends TLS on 443, passes everything else on, and serves port 80 in the clear.
const MORE_LISTENERS: &str = "listeners: [{name: egress, protocol: TLS, port: 443, tls: {mode: Terminate}}, \
                              {name: raw, protocol: TCP}, {name: web, protocol: HTTP, port: 80}]";

fn l4(name: &str, section: &str, matches: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressL4Route
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: echo-bot, sectionName: {section}}}]
  rules: [{{matches: [{matches}]}}]
"
    )
}

fn deny(route: &str, response: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressDenyPolicy
metadata: {{name: {route}}}
spec:
  targetRefs: [{{group: clrk.apoxy.dev, kind: EgressL4Route, name: {route}}}]
  denyResponse: {response}
"
    )
}

/// The names and addresses that pass untouched.
const UNTOUCHED: &str = "{destinationHostnames: [passed.example, '*.wild.example'], ports: [{port: 443}, {startPort: 2500, \
                         endPort: 2600}]}";
/// The names that are intercepted.
const INTERCEPTED: &str = "{destinationHostnames: [other.example, fresh.example]}";
const NETWORKS: &str =
    "{destinationCIDRs: [11.22.33.80/31, '2606:4700::80/124'], ports: [{port: 443}, {port: 2525}]}";

fn routes() -> String {
    [
        l4("untouched", "raw", UNTOUCHED),
        l4("networks", "raw", NETWORKS),
        l4("intercepted", "egress", INTERCEPTED),
        l4("clear", "web", "{destinationHostnames: [other.example]}"),
        l4("not-this-one", "raw", "{destinationHostnames: [denied.wild.example], ports: [{port: 443}]}"),
        deny("not-this-one", "{statusCode: 451, message: 'Ask \"security\" first'}"),
    ]
    .concat()
}

fn listed() -> Scenario {
    Scenario::default().deny_all().replace(LISTENERS, MORE_LISTENERS).manifest("egress.yaml", &routes())
}

pub(super) fn rows() -> Vec<Row> {
    [reach::rows(), inside::rows(), withdrawal::rows()].into_iter().flatten().collect()
}

/// A row where the rules of [`routes`] hold.
fn row<F, Fut>(id: &'static str, what: &'static str, variants: &'static [Variant], case: F) -> Row
where
    F: Fn(Stage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Row::new(id, what, variants, case).under(listed()).only_keyward("needs rules for destinations")
}

/// Names of the rows lead to one address, where every byte comes back.
async fn echo(stage: &Stage, port: u16, greeting: &'static str) -> Echo {
    for name in [PASSED, BELOW, DENIED] {
        stage.world.zone.set(name, &[ip(RAW)]);
    }
    Echo::listen(SocketAddr::new(ip(RAW), port), greeting).await
}

/// What becomes of a tunnel: the status of a refusal and its body, or bytes that came back.
#[derive(Debug, PartialEq, Eq)]
enum Tunnel {
    Refused(u16, String),
    Passed,
    Closed,
    Silent,
}

/// Opens a tunnel, sends these bytes, and expects them back.
async fn tunnel(stage: &Stage, target: &str, bytes: &[u8]) -> Tunnel {
    match connect(stage.subject.proxy, target).await {
        Err(Failure::Refused(answer)) => {
            Tunnel::Refused(answer.status, String::from_utf8_lossy(&answer.body).into_owned())
        }
        Err(failure) => panic!("{target}: {failure:?}"),
        Ok(mut stream) => exchange(&mut stream, bytes).await,
    }
}

async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Tunnel {
    let mut back = vec![0; bytes.len()];
    // It may be closed by now.
    let _ = stream.write_all(bytes).await;
    match tokio::time::timeout(Duration::from_secs(8), stream.read_exact(&mut back)).await {
        Err(_) => Tunnel::Silent,
        Ok(Ok(_)) if back == bytes => Tunnel::Passed,
        Ok(_) => Tunnel::Closed,
    }
}

fn refused(what: &Tunnel) -> bool {
    matches!(what, Tunnel::Refused(403, body) if body.contains("denied_by_policy"))
}

const PLAIN: &[u8] = b"hello, this is no TLS\r\n";
