//! Conversations with a session: what a proxy says and what it hears.

mod leaf;
mod order;
mod reconnect;
mod refusal;
mod subscribe;

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
            assert!(all.len() <= 2000, "it never ends");
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
