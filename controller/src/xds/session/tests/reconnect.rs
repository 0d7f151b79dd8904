//! What a stream is owed whose proxy had another one before.

use super::Kind::{Cluster, Extension, Route};
use super::*;

#[test]
fn a_reconnect_resends_what_changed_and_removes_what_is_gone() {
    let mut proxy = Proxy::new(&[(Cluster, "same", "1"), (Cluster, "changed", "2"), (Cluster, "new", "1")]);
    let held = [("same", "1"), ("changed", "1"), ("gone", "1")];
    let heard = proxy.say(reconnect(Cluster, &held, &[]));
    heard[0].is(Cluster, &["changed=2", "new=1"], &["gone"]);
}

#[test]
fn a_reconnect_with_everything_unchanged_is_silent() {
    let mut proxy = Proxy::new(&[(Cluster, "a", "1"), (Route, "r", "1")]);
    assert_eq!(proxy.say(reconnect(Cluster, &[("a", "1")], &[])), []);
    assert_eq!(proxy.say(reconnect(Route, &[("r", "1")], &["r"])), []);
    let version = resource(Route, "r", "1").version;
    let acked = Event::Acked(Route, BTreeMap::from([("r".to_owned(), Some(version))]));
    assert!(proxy.events.contains(&acked), "{:?}", proxy.events);
}

#[test]
fn a_reconnect_ignores_held_names_that_it_does_not_subscribe_to() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    assert_eq!(proxy.say(reconnect(Route, &[("r", "1"), ("left", "1")], &["r"])), []);
}

#[test]
fn a_version_refused_on_an_earlier_stream_is_not_sent_on_the_next() {
    let refused = (resource(Extension, "b", "2").version, "no".to_owned());
    let refusals = Refusals::from([((Extension, "b".to_owned()), refused)]);
    for held in [&[("b", "1")][..], &[]] {
        let mut proxy = Proxy { session: Session::new(refusals.clone()), events: Vec::new() };
        proxy.publish(&[(Extension, "b", "2")]);
        assert_eq!(proxy.say(reconnect(Extension, held, &["b"])), []);
        assert_eq!(proxy.nacked(), [(vec!["b"], "no")], "it still counts as refused");
        proxy.publish(&[(Extension, "b", "3")])[0].is(Extension, &["b=3"], &[]);
    }
}
