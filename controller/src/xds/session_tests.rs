//! Conversations with a session, each as a table of what a proxy says and what it hears.

use envoy_types::pb::google::protobuf::Any;

use super::*;

/// A proxy's end of one stream.
struct Proxy {
    session: Session,
    events: Vec<Event>,
}

/// A response, reduced to what tests look at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Heard {
    kind: Kind,
    names: Vec<String>,
    removed: Vec<String>,
    nonce: String,
}

impl Heard {
    fn is(&self, kind: Kind, names: &[&str], removed: &[&str]) {
        assert_eq!(
            (self.kind, &self.names[..], &self.removed[..]),
            (kind, &owned(names)[..], &owned(removed)[..])
        );
    }
}

impl Proxy {
    fn new(resources: &[(Kind, &str, &str)]) -> Proxy {
        let mut proxy = Proxy { session: Session::new(Refusals::new()), events: Vec::new() };
        proxy.session.publish(snapshot(resources));
        proxy
    }

    fn publish(&mut self, resources: &[(Kind, &str, &str)]) -> Vec<Heard> {
        self.session.publish(snapshot(resources));
        self.hear()
    }

    fn say(&mut self, request: discovery::DeltaDiscoveryRequest) -> Vec<Heard> {
        let events = self.session.request(request);
        self.events.extend(events);
        self.hear()
    }

    fn hear(&mut self) -> Vec<Heard> {
        self.session.responses().into_iter().map(heard).collect()
    }

    fn subscribe(&mut self, kind: Kind, names: &[&str]) -> Vec<Heard> {
        self.say(discovery::DeltaDiscoveryRequest { resource_names_subscribe: owned(names), ..of(kind) })
    }

    fn unsubscribe(&mut self, kind: Kind, names: &[&str]) -> Vec<Heard> {
        self.say(discovery::DeltaDiscoveryRequest { resource_names_unsubscribe: owned(names), ..of(kind) })
    }

    fn ack(&mut self, heard: &Heard) -> Vec<Heard> {
        self.say(discovery::DeltaDiscoveryRequest { response_nonce: heard.nonce.clone(), ..of(heard.kind) })
    }

    fn nack(&mut self, heard: &Heard, message: &str) -> Vec<Heard> {
        let error_detail = Some(Status { message: message.to_owned(), ..Default::default() });
        self.say(discovery::DeltaDiscoveryRequest {
            response_nonce: heard.nonce.clone(),
            error_detail,
            ..of(heard.kind)
        })
    }

    /// Acknowledges until nothing more comes; returns the order in which it came.
    fn settle(&mut self, mut heard: Vec<Heard>) -> Vec<Heard> {
        let mut all = Vec::new();
        while !heard.is_empty() {
            let next = heard.remove(0);
            heard.extend(self.ack(&next));
            all.push(next);
        }
        all
    }

    fn nacked(&self) -> Vec<(Vec<&str>, &str)> {
        let nacks = self.events.iter().filter_map(|event| match event {
            Event::Nacked(_, names, message) => {
                Some((names.keys().map(String::as_str).collect(), message.as_str()))
            }
            _ => None,
        });
        nacks.collect()
    }
}

fn of(kind: Kind) -> discovery::DeltaDiscoveryRequest {
    discovery::DeltaDiscoveryRequest { type_url: kind.url().to_owned(), ..Default::default() }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn heard(response: discovery::DeltaDiscoveryResponse) -> Heard {
    Heard {
        kind: Kind::from_url(&response.type_url).unwrap(),
        names: response
            .resources
            .iter()
            .map(|resource| format!("{}={}", resource.name, body(resource)))
            .collect(),
        removed: response.removed_resources,
        nonce: response.nonce,
    }
}

fn body(resource: &discovery::Resource) -> String {
    String::from_utf8(resource.resource.clone().unwrap().value).unwrap()
}

fn resource(kind: Kind, name: &str, body: &str) -> Resource {
    Resource::new(name, Any { type_url: kind.url().to_owned(), value: body.as_bytes().to_vec() })
}

fn snapshot(resources: &[(Kind, &str, &str)]) -> Arc<Snapshot> {
    Arc::new(resources.iter().map(|(kind, name, body)| (*kind, resource(*kind, name, body))).collect())
}

fn leaf(name: &str, body: &str) -> Option<Arc<Resource>> {
    Some(Arc::new(resource(Kind::Secret, name, body)))
}

fn reconnect(kind: Kind, held: &[(&str, &str)], names: &[&str]) -> discovery::DeltaDiscoveryRequest {
    let versions = held.iter().map(|(name, body)| ((*name).to_owned(), resource(kind, name, body).version));
    discovery::DeltaDiscoveryRequest {
        initial_resource_versions: versions.collect(),
        resource_names_subscribe: owned(names),
        ..of(kind)
    }
}

use Kind::{Cluster, Extension, Listener, Route, Secret};

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
fn a_version_refused_on_an_earlier_stream_is_not_sent_on_the_next() {
    let refused = (resource(Extension, "b", "2").version, "no".to_owned());
    let refusals = Refusals::from([((Extension, "b".to_owned()), refused)]);
    let mut proxy = Proxy { session: Session::new(refusals), events: Vec::new() };
    proxy.publish(&[(Extension, "b", "2")]);
    assert_eq!(proxy.say(reconnect(Extension, &[("b", "1")], &["b"])), []);
    assert_eq!(proxy.nacked(), [(vec!["b"], "no")], "it still counts as refused");
    proxy.publish(&[(Extension, "b", "3")])[0].is(Extension, &["b=3"], &[]);
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
fn a_refused_version_is_tried_again_for_a_new_subscription() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    let heard = proxy.subscribe(Route, &["r"]);
    assert_eq!(proxy.nack(&heard[0], "no"), []);
    proxy.unsubscribe(Route, &["r"]);
    proxy.subscribe(Route, &["r"])[0].is(Route, &["r=1"], &[]);
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
fn a_refused_cluster_does_not_hold_back_the_rest() {
    let mut proxy = Proxy::new(&[(Cluster, "c", "1"), (Route, "r", "1")]);
    let heard = proxy.subscribe(Cluster, &[]);
    assert_eq!(proxy.subscribe(Route, &["r"]), []);
    proxy.nack(&heard[0], "c: no")[0].is(Route, &["r=1"], &[]);
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
fn a_missing_name_is_said_to_be_missing_once_and_sent_when_it_appears() {
    let mut proxy = Proxy::new(&[]);
    let heard = proxy.subscribe(Route, &["r"]);
    heard[0].is(Route, &[], &["r"]);
    assert_eq!(proxy.ack(&heard[0]), []);
    assert_eq!(proxy.publish(&[]), []);
    proxy.publish(&[(Route, "r", "1")])[0].is(Route, &["r=1"], &[]);
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

#[test]
fn types_that_are_not_served_are_ignored() {
    let mut proxy = Proxy::new(&[]);
    let request =
        discovery::DeltaDiscoveryRequest { type_url: "type.googleapis.com/x".into(), ..Default::default() };
    assert_eq!(proxy.say(request), []);
    assert_eq!(proxy.events, []);
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
    assert!(proxy.session.holds_leaf("a.example"));
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

#[test]
fn long_messages_are_cut_at_a_character() {
    let mut proxy = Proxy::new(&[(Route, "r", "1")]);
    let heard = proxy.subscribe(Route, &["r"]);
    proxy.nack(&heard[0], &"é".repeat(2000));
    assert_eq!(proxy.nacked()[0].1.len(), MESSAGE_LIMIT);
}
