//! Resources that the proxy refuses.

use super::Kind::{Cluster, Extension, Listener, Route};
use super::*;

#[test]
fn a_refused_version_is_not_sent_again_and_the_next_change_is() {
    let mut proxy = Proxy::new(&[(Extension, "b", "1")]);
    let first = proxy.subscribe(Extension, &["b"]);
    proxy.ack(&first[0]);
    let second = proxy.publish(&[(Extension, "b", "2")]);
    assert_eq!(proxy.nack(&second[0], "no"), []);
    assert_eq!(proxy.nacked(), [(vec!["b"], "no")]);
    assert_eq!(proxy.publish(&[(Extension, "b", "2")]), []);
    let third = proxy.publish(&[(Extension, "b", "3")]);
    third[0].is(Extension, &["b=3"], &[]);
    assert_eq!(proxy.ack(&third[0]), []);
}

#[test]
fn going_back_to_the_version_that_is_held_sends_nothing() {
    let mut proxy = Proxy::new(&[(Extension, "b", "1")]);
    let first = proxy.subscribe(Extension, &["b"]);
    proxy.ack(&first[0]);
    let second = proxy.publish(&[(Extension, "b", "2")]);
    proxy.nack(&second[0], "no");
    assert_eq!(proxy.publish(&[(Extension, "b", "1")]), []);
}

#[test]
fn a_refusal_blames_the_resource_it_names_and_the_others_are_sent_without_it() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1"), (Cluster, "b", "1"), (Cluster, "c", "1")]);
    let heard = proxy.subscribe(Cluster, &[]);
    let again = proxy.nack(&heard[0], "Error adding/updating cluster(s) b: no such type");
    assert_eq!(proxy.nacked(), [(vec!["b"], "Error adding/updating cluster(s) b: no such type")]);
    again[0].is(Cluster, &["a=1", "c=1"], &[]);
    assert_eq!(proxy.ack(&again[0]), []);
}

#[test]
fn a_refusal_that_names_nothing_blames_all_that_was_sent() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1"), (Cluster, "b", "1")]);
    let heard = proxy.subscribe(Cluster, &[]);
    assert_eq!(proxy.nack(&heard[0], "refused"), []);
    assert_eq!(proxy.nacked(), [(vec!["a", "b"], "refused")]);
}

#[test]
fn a_refused_removal_is_not_repeated() {
    let mut proxy = Proxy::new(&[(Listener, "a", "1")]);
    let heard = proxy.subscribe(Listener, &[]);
    proxy.ack(&heard[0]);
    let heard = proxy.publish(&[]);
    heard[0].is(Listener, &[], &["a"]);
    assert_eq!(proxy.nack(&heard[0], "cannot"), []);
}

#[test]
fn a_refused_version_is_tried_again_for_a_new_subscription() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    let heard = proxy.subscribe(Route, &["r"]);
    assert_eq!(proxy.nack(&heard[0], "no"), []);
    proxy.unsubscribe(Route, &["r"]);
    proxy.subscribe(Route, &["r"])[0].is(Route, &["r=1"], &[]);
}

#[test]
fn a_refused_cluster_does_not_hold_back_the_rest() {
    let mut proxy = Proxy::new(&[(Cluster, "c", "1"), (Route, "r", "1")]);
    let heard = proxy.subscribe(Cluster, &[]);
    assert_eq!(proxy.subscribe(Route, &["r"]), []);
    proxy.nack(&heard[0], "c: no")[0].is(Route, &["r=1"], &[]);
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    let heard = proxy.subscribe(Route, &["r"]);
    proxy.nack(&heard[0], &"é".repeat(2000));
    assert_eq!(proxy.nacked()[0].1.len(), MESSAGE_LIMIT);
}
