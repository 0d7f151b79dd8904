//! A thousand names by name, beside the subscriptions to everything, on one stream.

use std::collections::BTreeSet;
use std::sync::Arc;

use controller::xds::Kind;
use harness::client::{Agent, Http};
use harness::scenario::KEY;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::rig::Rig;
use super::tee::Sent;
use super::world::route_to;

const NAMES: usize = 1_000;

/// Handshakes at once.
const AT_ONCE: usize = 32;

/// Makes a handshake for each name; returns how many succeeded with a certificate for that name.
async fn handshakes(rig: &Rig, names: &[String]) -> usize {
    let (agent, places) = (rig.agent(Http::One, &names[0]).await, Arc::new(Semaphore::new(AT_ONCE)));
    let mut tasks = JoinSet::new();
    for name in names {
        let (agent, places) = (wanting(&agent, name), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire().await.expect("it is never closed");
            agent.open().await.err()
        });
    }
    let failures: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{} failed: {failures:?}", failures.len());
    names.len()
}

fn wanting(agent: &Agent, name: &str) -> Agent {
    let harness::client::Way::Proxy(proxy, _) = agent.way else { panic!("the proxy port") };
    let way = harness::client::Way::Proxy(proxy, format!("{name}:443"));
    Agent { way, ..agent.clone().sni(Some(name)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_names_are_asked_for_at_once_after_a_reconnect_and_none_is_sent_again() {
    let rig = Rig::start().await;
    let names: Vec<String> = (0..NAMES).map(|number| format!("n{number}.many.example")).collect();
    let manifests = rig.manifests().file("more.yaml", &route_to(&names));
    let first = rig.world(&manifests, KEY);
    rig.publish(&first);
    rig.settled(&first).await;
    assert_eq!(handshakes(&rig, &names).await, NAMES);

    rig.tee.cut().await;
    let from = rig.tee.len();
    rig.tee.mend();
    rig.tee.introduced(from).await;
    rig.tee.read(from, |log| {
        let first = |kind| log.iter().find_map(|said| said.request(kind)).expect("a request");
        let asked: BTreeSet<_> = first(Kind::Secret).resource_names_subscribe.iter().collect();
        let held = &first(Kind::Secret).initial_resource_versions;
        assert!(
            names.iter().all(|name| asked.contains(name) && held.contains_key(name)),
            "{} names",
            asked.len()
        );
        for kind in [Kind::Cluster, Kind::Listener] {
            let names = &first(kind).resource_names_subscribe;
            assert!(names.is_empty() || names == &["*"], "{kind:?} is not a subscription to everything");
        }
    });
    // Two changes, one after the other: whatever the reconnect itself had set off came before the second.
    let [second, third] = ["sk-ant-second-0123456789abcdef", "sk-ant-third-0123456789abcdefg"];
    for key in [second, third] {
        let changed = rig.world(&manifests, key);
        rig.publish(&changed);
        rig.settled(&changed).await;
    }
    let changed = rig.world(&manifests, third).since(&first);
    assert!(changed.iter().all(|sent| matches!(sent, Sent::Update(Kind::Extension, _))), "{changed:?}");
    assert_eq!(rig.tee.sent(from), changed);
    assert_eq!(handshakes(&rig, &names).await, NAMES);
    assert_eq!(rig.tee.sent(from), changed, "a leaf that Envoy held was asked for again");
    rig.end().await;
}
