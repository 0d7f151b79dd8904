//! Resources that Envoy refuses: the old ones serve on, what came beside them is taken, and the next change recovers.

use controller::envoy::names::{GUARD, MITM_ROUTES};
use controller::xds::acks::Refusal;
use controller::xds::{Kind, Resource};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use harness::gateway::HOST;
use harness::scenario::KEY;
use prost::Message;

use super::rig::{OTHER, Rig};
use super::tee::{PATIENCE, Sent};
use super::world::{World, route_to};

const SECOND_KEY: &str = "sk-ant-second-0123456789abcdef";

/// A cluster without endpoints; one that says its load balancing is its own, which no static one has, is refused.
fn cluster(name: &str, policy: LbPolicy) -> Resource {
    let cluster = Cluster {
        name: name.to_owned(),
        lb_policy: policy as i32,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32)),
        ..Default::default()
    };
    Resource::encode(Kind::Cluster, name, &cluster)
}

/// The resource of a world with its message changed.
fn changed<M: Message + Default>(
    world: &World,
    kind: Kind,
    name: &str,
    change: impl FnOnce(&mut M),
) -> Resource {
    let mut message = M::decode(world.find(kind, name).body.value.as_slice()).expect("its own type");
    change(&mut message);
    Resource::encode(kind, name, &message)
}

/// The guard as a filter that is none.
fn wrong_type(world: &World) -> Resource {
    changed(world, Kind::Extension, GUARD, |filter: &mut TypedExtensionConfig| {
        let text = StringValue { value: "a filter".to_owned() };
        filter.typed_config = Some(Any {
            type_url: "type.googleapis.com/google.protobuf.StringValue".to_owned(),
            value: text.encode_to_vec(),
        });
    })
}

/// The bucket that holds the worked example's rules, with a configuration that the module does not read.
fn unreadable(world: &World, bucket: &str) -> Resource {
    changed(world, Kind::Extension, bucket, |filter: &mut TypedExtensionConfig| {
        let body = filter.typed_config.as_mut().expect("a filter");
        let mut wasm = Wasm::decode(body.value.as_slice()).expect("a Wasm filter");
        let text = StringValue { value: "{}".to_owned() };
        wasm.config.as_mut().expect("a plugin").configuration = Some(Any {
            type_url: "type.googleapis.com/google.protobuf.StringValue".to_owned(),
            value: text.encode_to_vec(),
        });
        body.value = wasm.encode_to_vec();
    })
}

/// Routes that name one host twice.
fn twice(world: &World) -> Resource {
    changed(world, Kind::Route, MITM_ROUTES, |routes: &mut RouteConfiguration| {
        let mut again = routes.virtual_hosts[0].clone();
        again.name = "again".to_owned();
        routes.virtual_hosts.push(again);
    })
}

/// The one bucket that a rotated key changes.
fn bucket(rig: &Rig, world: &World) -> String {
    let changed: Vec<Sent> = rig.example(SECOND_KEY).since(world).into_iter().collect();
    match changed.as_slice() {
        [Sent::Update(Kind::Extension, name)] => name.clone(),
        other => panic!("a rotated key changed {other:?}"),
    }
}

/// Waits until Envoy refused something of this world; what that is.
async fn refusals(rig: &Rig, world: &World) -> Vec<Refusal> {
    let mut acks = rig.handle().acks();
    let refused = acks.wait_for(|acks| !acks.refusals(&world.snapshot).is_empty());
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("Envoy refuses it").expect("acks");
    refused.refusals(&world.snapshot)
}

/// Waits until Envoy holds one resource of a world.
async fn held(rig: &Rig, world: &World, kind: Kind, name: &str) {
    let (key, version) = ((kind, name.to_owned()), Some(world.find(kind, name).version.clone()));
    let mut acks = rig.handle().acks();
    let held = acks.wait_for(|acks| {
        let mut answers = acks.proxies().values().map(|proxy| proxy.answers().get(&key));
        answers.any(|answer| answer.is_some_and(|answer| answer.acked == version))
    });
    let held = tokio::time::timeout(PATIENCE, held).await.is_ok();
    assert!(held, "Envoy does not hold {kind:?} {name}");
}

/// Publishes the worked example with one resource that is refused, and shows what must hold then and later.
async fn check(kind: Kind, name: &str, bad: impl FnOnce(&World, &str) -> Resource) {
    let (rig, first) = Rig::with_example().await;
    let bucket = bucket(&rig, &first);
    let (name, bad) = (if name.is_empty() { &bucket } else { name }, bad(&first, &bucket));
    let refused = first.with(kind, bad);
    rig.publish(&refused);
    let seen = refusals(&rig, &refused).await;
    let seen: Vec<_> = seen.iter().map(|refusal| (refusal.kind, refusal.name.as_str())).collect();
    assert_eq!(seen, [(kind, name)]);
    rig.assert_serves(HOST, KEY).await;

    // Envoy would acknowledge the bytes that it refused, were they sent once more.
    rig.tee.cut().await;
    let from = rig.tee.len();
    rig.tee.mend();
    rig.tee.introduced(from).await;
    for marker in ["one", "two"] {
        let beside = refused.with(Kind::Cluster, cluster(marker, LbPolicy::RoundRobin));
        rig.publish(&beside);
        held(&rig, &beside, Kind::Cluster, marker).await;
        assert_eq!(refusals(&rig, &beside).await[0].name, name, "the refusal is forgotten");
        assert!(!rig.handle().acks().borrow().settled(&beside.snapshot), "a refused resource counts as held");
    }
    let sent = rig.tee.sent(from);
    assert!(!sent.contains(&Sent::Update(kind, name.to_owned())), "{sent:?}");
    rig.assert_serves(HOST, KEY).await;

    let good = rig.example(SECOND_KEY);
    rig.publish(&good);
    rig.settled(&good).await;
    assert_eq!(rig.handle().acks().borrow().refusals(&good.snapshot), []);
    rig.assert_serves(HOST, SECOND_KEY).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_the_wrong_type_is_refused_and_the_old_one_serves() {
    check(Kind::Extension, GUARD, |world, _| wrong_type(world)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_the_module_does_not_read_is_refused_and_the_old_rules_serve() {
    check(Kind::Extension, "", unreadable).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_that_contradict_themselves_are_refused_and_the_old_ones_serve() {
    check(Kind::Route, MITM_ROUTES, |world, _| twice(world)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_cluster_keeps_back_neither_the_good_one_beside_it_nor_the_route_to_that() {
    let (rig, _) = Rig::with_example().await;
    let both =
        rig.manifests().alias(&[OTHER], &rig.provider).file("more.yaml", &route_to(&[OTHER.to_owned()]));
    let good = rig.world(&both, KEY);
    let bad = good.with(Kind::Cluster, cluster("bad", LbPolicy::ClusterProvided));
    rig.publish(&bad);
    let seen = refusals(&rig, &bad).await;
    assert_eq!((seen.len(), seen[0].kind, seen[0].name.as_str()), (1, Kind::Cluster, "bad"), "{seen:?}");
    assert!(!seen[0].message.is_empty(), "no reason");
    held(&rig, &bad, Kind::Route, MITM_ROUTES).await;
    for host in [HOST, OTHER] {
        rig.assert_serves(host, KEY).await;
    }
    let from = rig.tee.len();
    let mended = good.with(Kind::Cluster, cluster("bad", LbPolicy::RoundRobin));
    rig.publish(&mended);
    rig.settled(&mended).await;
    assert_eq!(rig.handle().acks().borrow().refusals(&mended.snapshot), []);
    assert_eq!(rig.tee.sent(from), [Sent::Update(Kind::Cluster, "bad".to_owned())].into());
    rig.end().await;
}
