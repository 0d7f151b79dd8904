//! What a gateway is to hold: manifests compiled as the controller compiles them.

use std::collections::BTreeSet;

use controller::certificates::MintPolicy;
use controller::compile::compile;
use controller::envoy::{self, Placement};
use controller::inputs::Inputs;
use controller::plan::ObjectKey;
use controller::source::{LastGood, Listing, Overrides, load};
use controller::xds::{Kind, Resource, Snapshot};
use harness::gateway::Manifests;
use harness::sealed::KEYRING;
use policy::seal::Keyring;
use serde_json::json;
use zeroize::Zeroizing;

use super::tee::Sent;

/// The gateway of the worked example.
pub(super) fn gateway() -> ObjectKey {
    key("echo-bot")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

/// What the controller serves at one time.
#[derive(Clone)]
pub(super) struct World {
    /// Which names get a leaf.
    pub(super) mint: MintPolicy,
    /// Everything else.
    pub(super) snapshot: Snapshot,
}

impl World {
    /// Compiles manifests whose Secret `anthropic-credentials` has this `api-key`. Panics when any is refused.
    pub(super) fn compile(manifests: &Manifests, credential: &str, placement: &Placement) -> World {
        let listing: Listing = manifests
            .files()
            .into_iter()
            .map(|(name, text)| (name, Ok(Zeroizing::new(text.into_bytes()))))
            .collect();
        let mut overrides = Overrides::default();
        let value = credential.as_bytes().to_vec();
        overrides.flag(key("anthropic-credentials"), Some("api-key".to_owned()), value);
        let loaded = load(&listing, &mut LastGood::default(), &overrides);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let keyring = Keyring::parse(KEYRING).expect("a keyring");
        let compiled = compile(&Inputs::from_objects(&loaded.objects), |_| &keyring, "");
        let plan = compiled.gateways.get(&gateway()).expect("a gateway that is accepted");
        let resources = envoy::resources(plan, placement).expect("a plan that does not contradict itself");
        let known = resources.into_iter().map(|resource| {
            let kind = Kind::from_url(&resource.type_url).expect("a type that is served");
            (kind, Resource::new(resource.name, resource.body))
        });
        World { mint: MintPolicy::of(plan), snapshot: known.collect() }
    }

    /// The same with another resource, or a changed one.
    pub(super) fn with(&self, kind: Kind, resource: Resource) -> World {
        let mut world = self.clone();
        world.snapshot.insert(kind, resource);
        world
    }

    /// The same without some resources.
    pub(super) fn without(&self, gone: impl Fn(Kind, &str) -> bool) -> World {
        let kept = self.snapshot.iter().filter(|(kind, resource)| !gone(*kind, &resource.name));
        let snapshot = kept.map(|(kind, resource)| (kind, resource.clone())).collect();
        World { snapshot, ..self.clone() }
    }

    /// The resource of this type and name. Panics when there is none.
    pub(super) fn find(&self, kind: Kind, name: &str) -> &Resource {
        self.snapshot.find(kind, name).unwrap_or_else(|| panic!("no {kind:?} {name}"))
    }

    /// What a proxy that holds `before` must be sent to hold this, and not more.
    pub(super) fn since(&self, before: &World) -> BTreeSet<Sent> {
        let held = |(kind, resource): (Kind, &Resource), world: &World| {
            world.snapshot.find(kind, &resource.name).map(|found| found.version.clone())
        };
        let changed = self.snapshot.iter().filter(|it| held(*it, before).as_ref() != Some(&it.1.version));
        let gone = before.snapshot.iter().filter(|it| held(*it, self).is_none());
        let updates = changed.map(|(kind, resource)| Sent::Update(kind, resource.name.clone()));
        updates.chain(gone.map(|(kind, resource)| Sent::Removal(kind, resource.name.clone()))).collect()
    }
}

/// A route to more hosts, with the credential of the worked example for `/v1/messages`. JSON is YAML.
pub(super) fn route_to(hosts: &[String]) -> String {
    let route = json!({
        "apiVersion": "clrk.apoxy.dev/v1alpha1", "kind": "AIProviderRoute", "metadata": {"name": "more"},
        "spec": {
            "parentRefs": [{"group": "clrk.apoxy.dev", "kind": "EgressGateway", "name": "echo-bot"}],
            "rules": [{"matches": [{"provider": "custom", "hosts": hosts, "endpoints": ["/v1/messages"]}]}],
        },
    });
    let policy = json!({
        "apiVersion": "clrk.apoxy.dev/v1alpha1", "kind": "CredentialInjectionPolicy", "metadata": {"name": "more"},
        "spec": {
            "parentRefs": [{"group": "clrk.apoxy.dev", "kind": "AIProviderRoute", "name": "more"}],
            "secretRef": {"name": "anthropic-credentials"}, "secretKey": "api-key",
            "target": "Header", "headerName": "x-api-key",
        },
    });
    format!("{route}\n---\n{policy}\n")
}
