//! Who asked for what, and what that entitles them to.

use super::Kind::{Cluster, Extension, Listener, Route, Secret};
use super::*;

#[test]
fn an_empty_first_subscription_to_clusters_or_listeners_asks_for_all_of_them() {
    for kind in [Cluster, Listener] {
        let mut proxy = Proxy::new(&[(kind, "a", "1"), (kind, "b", "1")]);
        proxy.subscribe(kind, &[])[0].is(kind, &["a=1", "b=1"], &[]);
    }
}

#[test]
fn an_empty_first_subscription_to_other_types_asks_for_nothing() {
    for kind in [Secret, Extension, Route] {
        let mut proxy = Proxy::new(&[(kind, "x/a", "1")]);
        assert_eq!(proxy.subscribe(kind, &[]), []);
        proxy.subscribe(kind, &["x/a"])[0].is(kind, &["x/a=1"], &[]);
    }
}

#[test]
fn a_wildcard_without_resources_is_answered_empty_so_that_start_up_does_not_wait() {
    let mut proxy = Proxy::new(&[]);
    let heard = proxy.subscribe(Cluster, &[]);
    heard[0].is(Cluster, &[], &[]);
    assert_eq!(proxy.ack(&heard[0]), []);
}

#[test]
fn nothing_is_said_before_there_is_a_snapshot() {
    let mut proxy = Proxy { session: Session::new(Refusals::new()), events: Vec::new() };
    assert_eq!(proxy.say(reconnect(Cluster, &[("a", "1")], &[])), []);
    proxy.publish(&[(Cluster, "a", "2")])[0].is(Cluster, &["a=2"], &[]);
}

#[test]
fn a_name_subscribed_to_again_is_sent_again_though_unchanged() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    let heard = proxy.subscribe(Route, &["r"]);
    proxy.ack(&heard[0]);
    assert_eq!(proxy.unsubscribe(Route, &["r"]), []);
    assert_eq!(proxy.publish(&[(Route, "r", "2")]), [], "not subscribed");
    let heard = proxy.subscribe(Route, &["r"]);
    heard[0].is(Route, &["r=2"], &[]);
    proxy.ack(&heard[0]);
    proxy.subscribe(Route, &["r"])[0].is(Route, &["r=2"], &[]);
}

#[test]
fn a_thousand_names_in_one_request_are_answered_in_one_response() {
    let names: Vec<String> = (0..1000).map(|n| format!("r{n:04}")).collect();
    let resources: Vec<(Kind, &str, &str)> =
        names.iter().step_by(2).map(|name| (Cluster, name.as_str(), "1")).collect();
    let mut proxy = Proxy::new(&resources);
    let heard = proxy.subscribe(Cluster, &names.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((heard.len(), heard[0].names.len(), heard[0].removed.len()), (1, 500, 500));
    assert_eq!(proxy.ack(&heard[0]), []);
}

#[test]
fn an_explicit_wildcard_and_names_stand_side_by_side() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1"), (Cluster, "b", "1")]);
    let heard = proxy.subscribe(Cluster, &["*", "b", "none"]);
    heard[0].is(Cluster, &["a=1", "b=1"], &["none"]);
    assert_eq!(proxy.ack(&heard[0]), []);
    let heard = proxy.publish(&[
        (Cluster, "a", "1"),
        (Cluster, "b", "1"),
        (Cluster, "none", "1"),
        (Cluster, "c", "1"),
    ]);
    heard[0].is(Cluster, &["c=1", "none=1"], &[]);
    proxy.ack(&heard[0]);
    assert_eq!(proxy.unsubscribe(Cluster, &["*"]), []);
    let heard = proxy.publish(&[(Cluster, "a", "2"), (Cluster, "b", "2")]);
    heard[0].is(Cluster, &["b=2"], &["none"]);
}

#[test]
fn names_after_an_implicit_wildcard_leave_it_standing() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1")]);
    let heard = proxy.subscribe(Cluster, &[]);
    proxy.ack(&heard[0]);
    let heard = proxy.subscribe(Cluster, &["a"]);
    heard[0].is(Cluster, &["a=1"], &[]);
    proxy.ack(&heard[0]);
    proxy.publish(&[(Cluster, "a", "1"), (Cluster, "b", "1")])[0].is(Cluster, &["b=1"], &[]);
}

#[test]
fn a_name_taken_back_under_a_wildcard_is_said_once_more() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1")]);
    let heard = proxy.subscribe(Cluster, &["*", "a", "none"]);
    proxy.ack(&heard[0]);
    let heard = proxy.unsubscribe(Cluster, &["a", "none"]);
    heard[0].is(Cluster, &["a=1"], &["none"]);
    assert_eq!(proxy.ack(&heard[0]), []);
}

#[test]
fn a_missing_name_is_said_to_be_missing_once_and_sent_when_it_appears() {
    let mut proxy = Proxy::new(&[]);
    let heard = proxy.subscribe(Route, &["r"]);
    heard[0].is(Route, &[], &["r"]);
    assert_eq!(proxy.ack(&heard[0]), []);
    assert_eq!(proxy.publish(&[]), []);
    proxy.publish(&[(Route, "r", "1")])[0].is(Route, &["r=1"], &[]);
}

#[test]
fn types_that_are_not_served_are_ignored() {
    let mut proxy = Proxy::new(&[]);
    let request =
        discovery::DeltaDiscoveryRequest { type_url: "type.googleapis.com/x".into(), ..Default::default() };
    assert_eq!(proxy.say(request), []);
    assert_eq!(proxy.events, []);
}
