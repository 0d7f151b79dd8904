//! What is referred to comes before what refers to it and goes after it, so that no request fails between the two.

use controller::envoy::names::MITM_ROUTES;
use controller::xds::{Kind, Resource};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use harness::gateway::HOST;
use prost::Message;

use super::hammer::Hammer;
use super::rig::Rig;
use super::world::World;

/// How often the host moves.
const MOVES: usize = 20;

/// The worked example with its host in a cluster of another name. Equal but for that.
fn moved(world: &World, to: &str) -> World {
    let old = format!("alias/{HOST}");
    let mut cluster =
        Cluster::decode(world.find(Kind::Cluster, &old).body.value.as_slice()).expect("a cluster");
    cluster.name = to.to_owned();
    let mut routes = RouteConfiguration::decode(world.find(Kind::Route, MITM_ROUTES).body.value.as_slice())
        .expect("routes");
    let mut found = 0;
    for route in routes.virtual_hosts.iter_mut().flat_map(|host| &mut host.routes) {
        let Some(Action::Route(action)) = &mut route.action else { continue };
        if action.cluster_specifier == Some(ClusterSpecifier::Cluster(old.clone())) {
            action.cluster_specifier = Some(ClusterSpecifier::Cluster(to.to_owned()));
            found += 1;
        }
    }
    assert!(found > 0, "no route leads to {old}");
    world
        .without(|kind, name| kind == Kind::Cluster && name == old)
        .with(Kind::Cluster, Resource::encode(Kind::Cluster, to, &cluster))
        .with(Kind::Route, Resource::encode(Kind::Route, MITM_ROUTES, &routes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_moves_to_a_new_cluster_fails_no_request() {
    let (rig, world) = Rig::with_example().await;
    let hammer = Hammer::start(&rig, HOST).await;
    let mut old = format!("alias/{HOST}");
    for number in 0..MOVES {
        let new = format!("moved/{number}");
        let from = rig.tee.len();
        let world = moved(&world, &new);
        rig.publish(&world);
        rig.settled(&world).await;
        let cluster = rig.tee.answered(from, Kind::Cluster, &new).await;
        let route = rig.tee.seen(from, "the routes", |said| said.sends(Kind::Route, MITM_ROUTES)).await;
        assert!(cluster < route, "move {number}: the routes went out before Envoy had their cluster");
        let route = rig.tee.answered(from, Kind::Route, MITM_ROUTES).await;
        let gone = rig.tee.seen(from, "the removal", |said| said.removes(Kind::Cluster, &old)).await;
        assert!(route < gone, "move {number}: a cluster went away before the routes to it");
        hammer.more(3).await;
        old = new;
    }
    hammer.stop().await;
    rig.end().await;
}
