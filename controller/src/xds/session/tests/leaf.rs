//! Leaves: decided by others, asked for again and again.

use super::Kind::{Cluster, Secret};
use super::*;

#[test]
fn a_thousand_leaves_in_one_request_are_all_answered() {
    let names: Vec<String> = (0..1000).map(|n| format!("r{n:04}.example")).collect();
    let mut proxy = Proxy::new(&[]);
    proxy.subscribe(Secret, &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, name) in names.iter().enumerate() {
        proxy.session.offer(name, if n % 2 == 0 { leaf(name, "1") } else { None });
    }
    let heard = proxy.hear();
    let all = proxy.settle(heard);
    assert_eq!(all.len(), 501, "one each, and the refusals together");
    assert_eq!(all.iter().map(|heard| heard.names.len()).max(), Some(1));
    assert_eq!(all[500].removed.len(), 500);
}

#[test]
fn leaves_travel_in_the_order_of_their_decision_and_replaced_ones_last() {
    let mut proxy = Proxy::new(&[]);
    proxy.subscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "1"));
    let mut heard = proxy.hear();
    proxy.subscribe(Secret, &["b.example", "c.example", "d.example"]);
    proxy.session.offer("a.example", leaf("a.example", "2"));
    for name in ["d.example", "b.example", "c.example", "b.example"] {
        proxy.session.offer(name, leaf(name, "1"));
    }
    for next in ["d.example=1", "b.example=1", "c.example=1", "a.example=2"] {
        heard = proxy.ack(&heard[0]);
        heard[0].is(Secret, &[next], &[]);
    }
    assert_eq!(proxy.ack(&heard[0]), []);
}

#[test]
fn a_leaf_that_is_asked_for_again_goes_before_replaced_ones() {
    let mut proxy = Proxy::new(&[]);
    let names = ["a.example", "b.example", "c.example"];
    proxy.subscribe(Secret, &names);
    let offer = |proxy: &mut Proxy, version: &str| {
        names.iter().for_each(|name| proxy.session.offer(name, leaf(name, version)));
    };
    offer(&mut proxy, "1");
    let heard = proxy.hear();
    proxy.settle(heard);
    offer(&mut proxy, "2");
    let heard = proxy.subscribe(Secret, &["c.example"]);
    heard[0].is(Secret, &["a.example=2"], &[]);
    proxy.session.offer("c.example", leaf("c.example", "2"));
    let heard = proxy.ack(&heard[0]);
    heard[0].is(Secret, &["c.example=2"], &[]);
    proxy.ack(&heard[0])[0].is(Secret, &["b.example=2"], &[]);
}

#[test]
fn a_leaf_is_silent_until_decided_then_sent_or_refused() {
    let mut proxy = Proxy::new(&[]);
    assert_eq!(proxy.subscribe(Secret, &["a.example", "b.example"]), []);
    let asked = BTreeSet::from(["a.example".to_owned(), "b.example".to_owned()]);
    assert!(proxy.events.contains(&Event::Subscribed(Secret, asked)), "{:?}", proxy.events);
    proxy.session.offer("a.example", leaf("a.example", "1"));
    proxy.session.offer("b.example", None);
    let heard = proxy.hear();
    heard[0].is(Secret, &["a.example=1"], &[]);
    let heard = proxy.ack(&heard[0]);
    heard[0].is(Secret, &[], &["b.example"]);
    assert_eq!(proxy.ack(&heard[0]), []);
}

#[test]
fn every_subscription_to_a_leaf_is_answered_and_refusals_are_forgotten_when_sent() {
    let mut proxy = Proxy::new(&[]);
    for _ in 0..3 {
        assert_eq!(proxy.subscribe(Secret, &["b.example"]), []);
        proxy.session.offer("b.example", None);
        let heard = proxy.hear();
        heard[0].is(Secret, &[], &["b.example"]);
        assert_eq!(proxy.session.offers().count(), 0);
        assert_eq!(proxy.ack(&heard[0]), []);
        assert_eq!(proxy.unsubscribe(Secret, &["b.example"]), []);
    }
    for _ in 0..3 {
        assert_eq!(proxy.subscribe(Secret, &["a.example"]), [], "also without having unsubscribed");
        proxy.session.offer("a.example", leaf("a.example", "1"));
        let heard = proxy.hear();
        heard[0].is(Secret, &["a.example=1"], &[]);
        assert_eq!(proxy.ack(&heard[0]), []);
    }
}

#[test]
fn a_first_leaf_that_is_not_accepted_is_refused_and_a_later_one_is_kept_out() {
    let mut proxy = Proxy::new(&[]);
    proxy.subscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "bad"));
    let heard = proxy.hear();
    let heard = proxy.nack(&heard[0], "key mismatch");
    heard[0].is(Secret, &[], &["a.example"]);
    proxy.ack(&heard[0]);

    proxy.subscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "good"));
    let heard = proxy.hear();
    proxy.ack(&heard[0]);
    proxy.session.offer("a.example", leaf("a.example", "bad"));
    let heard = proxy.hear();
    assert_eq!(proxy.nack(&heard[0], "key mismatch"), [], "the good one serves on");
}

#[test]
fn a_leaf_is_renewed_withdrawn_and_minted_again_when_asked_again() {
    let mut proxy = Proxy::new(&[]);
    proxy.subscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "1"));
    let heard = proxy.hear();
    proxy.settle(heard);
    proxy.session.offer("a.example", leaf("a.example", "2"));
    let heard = proxy.hear();
    heard[0].is(Secret, &["a.example=2"], &[]);
    proxy.settle(heard);
    proxy.session.offer("a.example", None);
    let heard = proxy.hear();
    heard[0].is(Secret, &[], &["a.example"]);
    proxy.settle(heard);
    proxy.unsubscribe(Secret, &["a.example"]);
    assert_eq!(proxy.subscribe(Secret, &["a.example"]), [], "decided afresh");
    proxy.session.offer("a.example", leaf("a.example", "3"));
    proxy.hear()[0].is(Secret, &["a.example=3"], &[]);
}

#[test]
fn a_leaf_held_over_a_reconnect_is_not_touched_before_it_is_decided() {
    let mut proxy = Proxy::new(&[]);
    assert_eq!(proxy.say(reconnect(Secret, &[("a.example", "1")], &["a.example"])), []);
    assert!(proxy.session.held_leaf("a.example").is_some());
    proxy.session.offer("a.example", leaf("a.example", "1"));
    assert_eq!(proxy.hear(), [], "the same leaf");
    proxy.session.offer("a.example", None);
    proxy.hear()[0].is(Secret, &[], &["a.example"]);
}

#[test]
fn leaves_neither_wait_nor_make_others_wait() {
    let mut proxy = Proxy::new(&[(Cluster, "c", "1")]);
    let cluster = proxy.subscribe(Cluster, &[]);
    proxy.subscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "1"));
    let leaf = proxy.hear();
    leaf[0].is(Secret, &["a.example=1"], &[]);
    proxy.ack(&cluster[0]);
    let heard = proxy.publish(&[(Cluster, "c", "2")]);
    heard[0].is(Cluster, &["c=2"], &[]);
}

#[test]
fn a_withdrawn_leaf_goes_at_once_whatever_else_is_on_its_way() {
    let mut proxy = Proxy::new(&[(Cluster, "c", "1")]);
    proxy.subscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "1"));
    let heard = proxy.hear();
    proxy.settle(heard);
    proxy.subscribe(Cluster, &[])[0].is(Cluster, &["c=1"], &[]);
    proxy.session.offer("a.example", None);
    proxy.hear()[0].is(Secret, &[], &["a.example"]);
}

#[test]
fn a_wildcard_for_secrets_gives_no_leaf_away() {
    let mut proxy = Proxy::new(&[(Secret, "keyward/trust", "1")]);
    proxy.subscribe(Secret, &["*"])[0].is(Secret, &["keyward/trust=1"], &[]);
    assert!(!proxy.events.iter().any(|event| matches!(event, Event::Subscribed(..))), "{:?}", proxy.events);
}

#[test]
fn an_offer_that_nobody_asked_for_is_dropped() {
    let mut proxy = Proxy::new(&[]);
    proxy.subscribe(Secret, &["a.example"]);
    proxy.unsubscribe(Secret, &["a.example"]);
    proxy.session.offer("a.example", leaf("a.example", "1"));
    assert_eq!(proxy.session.offers().count(), 0);
    assert_eq!(proxy.hear(), []);
}
