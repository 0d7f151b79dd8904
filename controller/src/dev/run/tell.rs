//! What is said: events as things happen, and the whole for `keyward status`.

use policy::api::Kind;
use time::OffsetDateTime;

use super::{Dev, START};
use crate::cli::Failure;
use crate::conditions::Programmed;
use crate::dev::access;
use crate::dev::event::{Event, GatewayState};
use crate::dev::gateway::Gateway;
use crate::dev::status::{self, Status};
use crate::metrics::{self, Reading};
use crate::plan::ObjectKey;

impl Dev {
    /// Says what is new: conditions that changed, and, once, that everything serves.
    pub(super) fn announce(&mut self) -> Result<(), Failure> {
        for took in self.gateways.values_mut().filter_map(Gateway::secret_settled) {
            self.propagation.observe(took);
        }
        // This runs after every request's line too: thousands of routes are looked at once for each compilation.
        let mut gateways = self.of_gateways.clone();
        for (key, gateway) in &self.gateways {
            gateways.set_programmed(key, &gateway.programmed());
        }
        let others = std::mem::take(&mut self.of_others);
        for statuses in [&gateways, &others] {
            for event in self.report.changed_conditions(statuses) {
                self.emit(event)?;
            }
        }
        // Not before the first answers of token endpoints: what starts at that word would find its requests denied.
        if !self.ready && self.tokens.are_tried() && self.gateways.keys().all(|key| self.serves(key)) {
            self.ready = true;
            let gateways = self.gateways.values().map(Gateway::address).collect();
            let metrics =
                self.metrics.as_ref().map(|metrics| format!("http://{}/metrics", metrics.address()));
            self.emit(Event::Ready { gateways, metrics, inspector: self.inspector_url() })?;
        }
        Ok(())
    }

    pub(super) fn status(&self) -> Status {
        let mut gateways = self.of_gateways.clone();
        for (key, gateway) in &self.gateways {
            gateways.set_programmed(key, &gateway.programmed());
        }
        let mut statuses = self.report.statuses().clone();
        statuses.0.extend(gateways.0);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: self.ready,
            gateways: self.gateways.iter().map(|(key, gateway)| gateway.report(self.serves(key))).collect(),
            objects: status::objects(&statuses).collect(),
            problems: self.report.problems().cloned().collect(),
            tokens: status::tokens(&self.tokens.look(), OffsetDateTime::now_utc()),
            inspector: self.inspector_url(),
        }
    }

    fn inspector_url(&self) -> Option<String> {
        self.inspector.as_ref().map(|inspector| inspector.url().to_owned())
    }

    /// How everything stands, in numbers.
    pub(super) fn reading(&self) -> Reading {
        let mut of_gateways = self.of_gateways.clone();
        for (key, gateway) in &self.gateways {
            of_gateways.set_programmed(key, &gateway.programmed());
        }
        let of_others = self.report.statuses().0.iter();
        let of_others = of_others.filter(|(object, _)| object.kind != Kind::EgressGateway);
        let statuses = of_others.chain(&of_gateways.0).map(|(object, status)| (object.kind, status));
        let gateways = self.gateways.iter().filter_map(|(key, gateway)| {
            let admin = self.envoys.admin(key)?.to_owned();
            Some((key.clone(), gateway.reading(self.serves(key), admin)))
        });
        Reading {
            objects: self.manifests.count(),
            conditions: metrics::conditions(statuses),
            problems: self.report.problems().count(),
            gateways: gateways.collect(),
            secrets: self.manifests.ages(),
            tokens: self.tokens.reading(),
            propagation: self.propagation.clone(),
        }
    }

    pub(super) fn access(&mut self, key: &ObjectKey, line: &str) -> Result<(), Failure> {
        let Some((entry, gateway)) = access::Entry::parse(line).zip(self.gateways.get(key)) else {
            return Ok(());
        };
        let ca = gateway.ca();
        let silent = self.peers.is_silent_end(&entry).then(|| entry.silent_end(&ca));
        let hint = silent.as_ref().map(|line| line.text.clone());
        let line = silent.or_else(|| entry.line(&ca));
        self.emit(Event::Access {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            entry: entry.into_json(&ca, hint),
            line,
        })
    }

    /// Whether a gateway answers requests: its Envoy is live and holds what was published.
    fn serves(&self, key: &ObjectKey) -> bool {
        let programmed = self.gateways.get(key).map(Gateway::programmed);
        programmed == Some(Programmed::Yes) && self.envoys.is_live(key)
    }

    pub(super) fn not_ready(&self) -> Failure {
        let waiting = self.gateways.iter().filter(|(key, _)| !self.serves(key));
        let lines = waiting.map(|(key, gateway)| format!("EgressGateway {key}: {:?}", gateway.programmed()));
        Failure::Failed(format!(
            "not ready after {} s: {}",
            START.as_secs(),
            lines.collect::<Vec<_>>().join("; ")
        ))
    }

    pub(super) fn gateway_event(&mut self, key: &ObjectKey, state: GatewayState) -> Result<(), Failure> {
        let address = self.gateways.get(key).map(Gateway::address);
        self.emit(Event::Gateway { namespace: key.namespace.clone(), name: key.name.clone(), state, address })
    }

    pub(super) fn emit(&mut self, event: Event) -> Result<(), Failure> {
        self.sink.emit(event).map_err(Failure::output)
    }
}
