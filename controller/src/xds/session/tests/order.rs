//! What goes out when, and with what.

use super::Kind::{Cluster, Extension, Listener, Route, Secret};
use super::*;

#[test]
fn secrets_filter_configurations_and_routes_travel_one_to_a_response() {
    for kind in [Secret, Extension, Route] {
        let mut proxy = Proxy::new(&[(kind, "x/a", "1"), (kind, "x/b", "1"), (kind, "x/c", "1")]);
        let mut heard = proxy.subscribe(kind, &["x/a", "x/b", "x/c", "x/none"]);
        heard[0].is(kind, &["x/a=1"], &[]);
        heard = proxy.nack(&heard[0], "refused");
        heard[0].is(kind, &["x/b=1"], &[]);
        heard = proxy.ack(&heard[0]);
        heard[0].is(kind, &["x/c=1"], &[]);
        heard = proxy.ack(&heard[0]);
        heard[0].is(kind, &[], &["x/none"]);
        assert_eq!(proxy.ack(&heard[0]), []);
        assert_eq!(proxy.nacked(), [(vec!["x/a"], "refused")]);
    }
}

#[test]
fn additions_go_out_after_what_they_refer_to_was_acknowledged() {
    let mut proxy = Proxy::new(&[]);
    for (kind, names) in
        [(Cluster, &[][..]), (Listener, &[]), (Secret, &["x/s"]), (Extension, &["e"]), (Route, &["r"])]
    {
        let heard = proxy.subscribe(kind, names);
        proxy.settle(heard);
    }
    let all = [
        (Listener, "l", "1"),
        (Route, "r", "1"),
        (Extension, "e", "1"),
        (Cluster, "c", "1"),
        (Secret, "x/s", "1"),
    ];
    let first = proxy.publish(&all);
    assert_eq!(first.len(), 1, "one type at a time: {first:?}");
    let order: Vec<Kind> = proxy.settle(first).iter().map(|heard| heard.kind).collect();
    assert_eq!(order, [Secret, Cluster, Extension, Route, Listener]);
    let order: Vec<Kind> = {
        let gone = proxy.publish(&[]);
        proxy.settle(gone)
    }
    .iter()
    .map(|heard| heard.kind)
    .collect();
    assert_eq!(order, [Listener, Route, Extension, Cluster, Secret]);
}

#[test]
fn a_replaced_cluster_is_made_before_and_broken_after_its_route_moves() {
    let mut proxy = Proxy::new(&[(Cluster, "old", "1"), (Route, "r", "old")]);
    for (kind, names) in [(Cluster, &[][..]), (Route, &["r"])] {
        let heard = proxy.subscribe(kind, names);
        proxy.settle(heard);
    }
    let heard = proxy.publish(&[(Cluster, "new", "1"), (Route, "r", "new")]);
    let all = proxy.settle(heard);
    assert_eq!(all.len(), 3);
    all[0].is(Cluster, &["new=1"], &[]);
    all[1].is(Route, &["r=new"], &[]);
    all[2].is(Cluster, &[], &["old"]);
}

#[test]
fn late_nonces_are_ignored_but_their_subscriptions_are_not() {
    let mut proxy = Proxy::new(&[(Route, "r", "1"), (Route, "s", "1")]);
    let first = proxy.subscribe(Route, &["r"]);
    let stale = discovery::DeltaDiscoveryRequest {
        response_nonce: "999".to_owned(),
        error_detail: Some(Status::default()),
        resource_names_subscribe: owned(&["s"]),
        ..of(Route)
    };
    assert_eq!(proxy.say(stale), [], "the first response is still outstanding");
    assert_eq!(proxy.nacked(), []);
    proxy.ack(&first[0])[0].is(Route, &["s=1"], &[]);
    assert_eq!(proxy.ack(&first[0]), [], "acknowledged twice");
}

#[test]
fn changes_during_an_outstanding_response_go_out_together_after_it() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1")]);
    let first = proxy.subscribe(Cluster, &[]);
    assert_eq!(proxy.publish(&[(Cluster, "a", "2")]), []);
    assert_eq!(proxy.publish(&[(Cluster, "a", "3"), (Cluster, "b", "1")]), []);
    let second = proxy.ack(&first[0]);
    second[0].is(Cluster, &["a=3", "b=1"], &[]);
    assert_eq!(proxy.ack(&second[0]), []);
}

#[test]
fn a_name_taken_back_while_its_response_is_outstanding_is_forgotten() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    let heard = proxy.subscribe(Route, &["r"]);
    proxy.unsubscribe(Route, &["r"]);
    assert_eq!(proxy.ack(&heard[0]), []);
    assert_eq!(proxy.publish(&[]), []);
    assert_eq!(proxy.publish(&[(Route, "r", "2")]), []);
}
