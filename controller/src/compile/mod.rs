//! Inputs to one plan per gateway and conditions for every object: pure and total.
//!
//! One bad object rejects only itself. A route that attached but cannot be served denies what it speaks of; one that
//! never attached has no effect. A missing Secret, and a route that no policy gives a credential, compile to a denial.

mod attach;
mod buckets;
mod collector;
mod config;
mod denials;
mod egress;
mod fills;
mod gateway;
mod injection;
mod plan;
mod prove;
mod report;
mod rotate;
mod scope;
pub mod support;
mod tokens;
mod trust;
mod values;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use policy::api::egress_gateway::Spec;
use policy::api::{Kind, ai_provider_route};
use policy::seal::Keyring;

pub(crate) use self::collector::header as collector_header;

use self::attach::{Gateways, Parent, Standing};
use self::denials::Denials;
use self::fills::Fills;
use self::gateway::Settings;
pub(crate) use self::injection::{ValueUse, judge};
use self::plan::Attached;
pub use self::rotate::{Touched, renew, rotate};
use self::scope::Content;
use self::tokens::Accounts;
pub use self::tokens::{Origin, Tokens};
pub(crate) use self::trust::joined;
pub(crate) use self::values::go_duration;
use self::verdict::Refusal;
use crate::conditions::{ObjectRef, Statuses};
use crate::inputs::{Age, Inputs, Reduced};
use crate::plan::{GatewayPlan, ObjectKey};

/// What inputs come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compiled {
    /// The plans of the gateways that are accepted.
    pub gateways: BTreeMap<ObjectKey, GatewayPlan>,
    /// What is said of every object but Secrets.
    pub statuses: Statuses,
    /// The Google tokens that the plans need, those that there are included.
    pub tokens: Tokens,
}

/// Compiles. `keyring` names the keys that a gateway's Envoy holds; `system_trust` is the system's CA bundle as PEM.
///
/// Equal inputs and keys give equal plans, byte for byte.
pub fn compile<'k>(
    inputs: &Inputs,
    keyring: impl Fn(&ObjectKey) -> &'k Keyring,
    system_trust: &str,
) -> Compiled {
    let mut settings: BTreeMap<ObjectKey, Result<Settings, Refusal>> = inputs
        .gateways
        .iter()
        .map(|(key, gateway)| (key.clone(), gateway::settings(&gateway.spec)))
        .collect();
    let mut accounts = Accounts::default();
    let policies = inputs
        .policies
        .iter()
        .map(|(key, policy)| (key.clone(), injection::read(key, policy, inputs, &mut accounts)))
        .collect();
    let fills = Fills::settle(policies, inputs.tokens.clone());
    let denials = Denials::read(inputs);
    let gateways = gateways(inputs, &settings);
    let routes = routes(inputs, &gateways);
    let l4_routes = egress::routes(inputs, &gateways, &denials, |gateway| named(gateway, &routes));
    let resolved = Resolved { inputs, routes, l4_routes, denials, fills, system_trust };
    let mut compiled = Compiled::default();
    for (key, gateway) in &inputs.gateways {
        if let Some(settings) = settings.remove(key) {
            resolved.gateway(key, gateway, settings, keyring(key), &mut compiled);
        }
    }
    resolved.report(&mut compiled.statuses);
    compiled.tokens.say(&mut compiled.statuses, &inputs.tokens);
    compiled
}

/// Everything that does not depend on one gateway.
struct Resolved<'a> {
    inputs: &'a Inputs,
    routes: BTreeMap<ObjectKey, Route>,
    l4_routes: BTreeMap<ObjectKey, egress::Route>,
    denials: Denials,
    fills: Fills,
    system_trust: &'a str,
}

impl Resolved<'_> {
    fn gateway(
        &self,
        key: &ObjectKey,
        gateway: &Reduced<Spec>,
        settings: Result<Settings, Refusal>,
        keyring: &Keyring,
        compiled: &mut Compiled,
    ) {
        let own = trust::own(key, &gateway.spec, self.inputs);
        let (own, trust) = own.map_or_else(|refusal| (String::new(), Err(refusal)), |own| (own, Ok(())));
        // Without its headers a collector is not told.
        let headers = collector::headers(key, &gateway.spec, self.inputs);
        let references = trust.and(headers.as_ref().map(|_| ()).map_err(Refusal::clone));
        let verdict = settings.as_ref().map(|_| ());
        let partly = gateway::partly_supported(&gateway.spec, self.inputs.inspector.is_some());
        let mut status =
            report::gateway(gateway, verdict, &partly, references.as_ref().copied(), &self.attached_to(key));
        if let Ok(settings) = settings {
            let bundle = joined(self.system_trust, &own);
            let egress = egress::at(key, &self.l4_routes, &self.denials, &settings.aliases);
            let told = settings.collector.as_ref().zip(headers.as_ref().ok());
            let told = told.and_then(|(it, headers)| collector::collector(key, it, headers, keyring));
            let inspector = self.inputs.inspector.clone();
            let told = told.into_iter().chain(inspector.is_some().then(collector::inspector));
            let telemetry = collector::telemetry(&gateway.spec, told.collect(), self.inputs.reads_usage);
            let around = plan::Around { egress, trust_bundle: bundle, telemetry, inspector };
            let (mut plan, needed) =
                plan::plan(key.clone(), settings, &self.at(key), around, &self.fills, keyring);
            compiled.tokens.add(needed, &own);
            let refused = prove::deny_what_the_filter_refuses(&mut plan);
            report::filter_refused(&mut status, gateway.generation, &refused);
            compiled.gateways.insert(key.clone(), plan);
        }
        compiled.statuses.0.insert(ObjectRef::new(Kind::EgressGateway, key.clone()), status);
    }

    /// The routes that have a say at a gateway.
    fn at(&self, gateway: &ObjectKey) -> Vec<Attached<'_>> {
        let attached = self.routes.iter().filter_map(|(key, route)| {
            let accepted = route.at(gateway)?;
            let denied = self.denials.policy(Kind::AiProviderRoute, key).is_some();
            let scopes = &route.content.scopes;
            Some(Attached { key: key.clone(), age: route.age, scopes, accepted: accepted && !denied, denied })
        });
        attached.collect()
    }

    /// How many accepted routes each listener of a gateway has.
    fn attached_to(&self, gateway: &ObjectKey) -> BTreeMap<usize, u32> {
        let mut counts = BTreeMap::new();
        for route in self.routes.values().filter(|route| route.verdict().is_ok()) {
            for listener in route.listeners(gateway) {
                *counts.entry(listener).or_default() += 1;
            }
        }
        for route in self.l4_routes.values() {
            let here = route.parents.iter().filter(|parent| parent.gateway == *gateway);
            if here.clone().next().is_some() && here.clone().all(|parent| route.refusal(parent).is_none()) {
                for listener in route.listeners(gateway) {
                    *counts.entry(listener).or_default() += 1;
                }
            }
        }
        counts
    }

    fn report(&self, statuses: &mut Statuses) {
        for (key, route) in &self.routes {
            let status = report::route(
                key,
                route.generation,
                &route.parents,
                route.verdict(),
                &route.content.scopes,
                &self.fills,
                self.denials.policy(Kind::AiProviderRoute, key),
            );
            statuses.0.insert(ObjectRef::new(Kind::AiProviderRoute, key.clone()), status);
        }
        for (key, policy) in &self.fills.policies {
            let object = ObjectRef::new(Kind::CredentialInjectionPolicy, key.clone());
            statuses.0.insert(object, report::policy(key, policy, &self.fills));
        }
        for (key, route) in &self.l4_routes {
            let status = report::l4_route(route, self.denials.policy(Kind::EgressL4Route, key));
            statuses.0.insert(ObjectRef::new(Kind::EgressL4Route, key.clone()), status);
        }
        for (key, policy) in &self.denials.policies {
            let object = ObjectRef::new(Kind::EgressDenyPolicy, key.clone());
            statuses.0.insert(object, report::deny_policy(policy));
        }
        report::unbuilt(self.inputs, statuses);
    }
}

/// A route, read, with its parents.
struct Route {
    age: Age,
    generation: Option<i64>,
    content: Content,
    parents: Vec<Parent>,
}

impl Route {
    fn verdict(&self) -> Result<(), &Refusal> {
        self.content.verdict.as_ref().copied()
    }

    /// Whether it has a say at a gateway, and whether it may inject there.
    fn at(&self, gateway: &ObjectKey) -> Option<bool> {
        let mut here = self.parents.iter().filter(|parent| parent.gateway == *gateway);
        here.any(|parent| !matches!(parent.standing, Standing::Apart(_)))
            .then(|| self.verdict().is_ok() && !self.listeners(gateway).is_empty())
    }

    /// The listeners of a gateway that it is attached to.
    fn listeners(&self, gateway: &ObjectKey) -> BTreeSet<usize> {
        let here = self.parents.iter().filter(|parent| parent.gateway == *gateway);
        here.filter_map(|parent| match &parent.standing {
            Standing::Attached(listeners) => Some(listeners),
            _ => None,
        })
        .flatten()
        .copied()
        .collect()
    }
}

/// The gateways as routes see them.
fn gateways<'a>(
    inputs: &'a Inputs,
    settings: &BTreeMap<ObjectKey, Result<Settings, Refusal>>,
) -> Gateways<'a> {
    let specs = inputs.gateways.iter().map(|(key, gateway)| {
        let refusal = settings.get(key).and_then(|settings| settings.as_ref().err().cloned());
        (key.clone(), refusal.map_or(Ok(&gateway.spec), Err))
    });
    Gateways { specs: specs.collect(), namespaces: &inputs.namespaces }
}

fn routes(inputs: &Inputs, gateways: &Gateways<'_>) -> BTreeMap<ObjectKey, Route> {
    let route = |key: &ObjectKey, route: &Reduced<ai_provider_route::Spec>| {
        let content = scope::content(&route.spec);
        let parents = attach::parents(key, Kind::AiProviderRoute, &route.spec.parent_refs, gateways);
        Route { age: route.age, generation: route.generation, content, parents }
    };
    inputs.routes.iter().map(|(key, reduced)| (key.clone(), route(key, reduced))).collect()
}

/// The hosts that routes name at a gateway.
fn named(gateway: &ObjectKey, routes: &BTreeMap<ObjectKey, Route>) -> egress::Named {
    let here = routes.iter().filter(|(_, route)| route.at(gateway).is_some());
    let hosts = here.flat_map(|(key, route)| {
        route
            .content
            .scopes
            .iter()
            .flat_map(|scope| &scope.hosts)
            .map(move |host| (host.clone(), key.clone()))
    });
    hosts.collect()
}

#[cfg(test)]
mod tests;
