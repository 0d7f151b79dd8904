//! A line that was cut: what Envoy holds is not sent again, what changed meanwhile is, what is gone is removed.

use std::collections::BTreeMap;

use controller::envoy::names::TRANSPARENT_LISTENER;
use controller::xds::Kind;
use harness::client::Http;
use harness::gateway::HOST;
use harness::scenario::KEY;

use super::rig::{OTHER, Rig, request};
use super::tee::Sent;
use super::world::{World, route_to};

const SECOND_KEY: &str = "sk-ant-second-0123456789abcdef";
const THIRD_KEY: &str = "sk-ant-third-0123456789abcdefg";

/// What Envoy says at first on a new connection that it holds.
fn held(rig: &Rig, from: usize, kind: Kind) -> BTreeMap<String, String> {
    rig.tee.read(from, |log| {
        let first = log.iter().find_map(|said| said.request(kind)).expect("a request");
        first.initial_resource_versions.clone().into_iter().collect()
    })
}

fn versions(world: &World, kind: Kind) -> BTreeMap<String, String> {
    world.snapshot.of(kind).map(|resource| (resource.name.clone(), resource.version.clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_reconnecting_envoy_holds_is_sent_again() {
    let (rig, first) = Rig::with_example().await;
    rig.assert_serves(HOST, KEY).await;
    rig.tee.cut().await;
    let from = rig.tee.len();
    rig.tee.mend();
    rig.tee.introduced(from).await;
    for kind in [Kind::Cluster, Kind::Extension, Kind::Route, Kind::Listener] {
        assert_eq!(held(&rig, from, kind), versions(&first, kind), "{kind:?}");
    }
    assert!(held(&rig, from, Kind::Secret).contains_key(HOST), "the leaf is not among what Envoy holds");

    // Two changes, one after the other: whatever the reconnect itself had set off came before the second.
    for key in [SECOND_KEY, THIRD_KEY] {
        let changed = rig.example(key);
        rig.publish(&changed);
        rig.settled(&changed).await;
    }
    let changed = rig.example(THIRD_KEY).since(&first);
    assert_eq!(changed.len(), 1, "a rotated key is one resource: {changed:?}");
    assert_eq!(rig.tee.sent(from), changed);
    rig.assert_serves(HOST, THIRD_KEY).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_meanwhile_is_sent_and_what_is_gone_is_removed() {
    let rig = Rig::start().await;
    let both =
        rig.manifests().alias(&[OTHER], &rig.provider).file("more.yaml", &route_to(&[OTHER.to_owned()]));
    let first = rig.world(&both, KEY);
    rig.publish(&first);
    rig.settled(&first).await;
    for host in [HOST, OTHER] {
        rig.assert_serves(host, KEY).await;
    }

    rig.tee.cut().await;
    let from = rig.tee.len();
    let second = World::compile(&rig.manifests(), SECOND_KEY, &rig.placement(false));
    rig.publish(&second);
    rig.tee.mend();
    rig.settled(&second).await;
    for gone in second.since(&first) {
        if let Sent::Removal(kind, name) = gone {
            rig.tee.answered(from, kind, &name).await;
        }
    }
    let expected = second.since(&first);
    for gone in [(Kind::Cluster, format!("alias/{OTHER}")), (Kind::Listener, TRANSPARENT_LISTENER.to_owned())]
    {
        assert!(expected.contains(&Sent::Removal(gone.0, gone.1)), "{expected:?}");
    }
    assert_eq!(rig.tee.sent(from), expected);

    rig.assert_serves(HOST, SECOND_KEY).await;
    let received = rig.provider.requests().len();
    let answer = rig.agent(Http::One, OTHER).await.send(&request(OTHER)).await.expect("an answer");
    assert_eq!(answer.status, 503, "a host that is gone and has no address");
    assert_eq!(rig.provider.requests().len(), received);
    rig.end().await;
}
