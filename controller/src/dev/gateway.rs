//! One running gateway: its ports, its Envoy, and what it was told to hold.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;

use super::event::GatewayAddress;
use super::ports::Ports;
use super::status::{self, GatewayReport, Leaves, Push, Refused};
use crate::certificates::MintPolicy;
use crate::conditions::Programmed;
use crate::envoy::{self, GenerateError, Placement};
use crate::metrics;
use crate::plan::{GatewayPlan, ObjectKey};
use crate::xds::{GatewayHandle, Kind, Resource, Snapshot};

/// A gateway that is served.
pub(super) struct Gateway {
    pub(super) key: ObjectKey,
    ports: Ports,
    handle: GatewayHandle,
    ca: PathBuf,
    module: PathBuf,
    /// What its Envoys are to hold.
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Since when that is so.
    pushed_at: Option<OffsetDateTime>,
    /// When the first changed Secret was loaded that not every Envoy has acknowledged yet.
    secret_changed: Option<Instant>,
    /// How often its Envoy ended by itself.
    restarts: u64,
}

impl Gateway {
    pub(super) fn new(
        key: ObjectKey,
        ports: Ports,
        handle: GatewayHandle,
        ca: PathBuf,
        module: PathBuf,
    ) -> Self {
        Gateway {
            key,
            ports,
            handle,
            ca,
            module,
            snapshot: watch::Sender::default(),
            pushed_at: None,
            secret_changed: None,
            restarts: 0,
        }
    }

    /// Hands a new plan to the gateway's Envoys: what differs goes out, nothing else moves. `secret` is when a changed
    /// Secret was loaded, where one did.
    ///
    /// # Errors
    /// [`GenerateError`]: a plan that contradicts itself, which is a fault of ours.
    pub(super) fn publish(
        &mut self,
        plan: &GatewayPlan,
        secret: Option<Instant>,
    ) -> Result<(), GenerateError> {
        let snapshot = snapshot(plan, &self.placement())?;
        self.handle.allow(MintPolicy::of(plan));
        self.hand_out(snapshot, secret);
        Ok(())
    }

    /// Hands out the buckets of a plan that changed in their sealed credentials alone.
    ///
    /// # Errors
    /// As [`Gateway::publish`].
    pub(super) fn publish_buckets(
        &mut self,
        plan: &GatewayPlan,
        buckets: &BTreeSet<usize>,
        secret: Option<Instant>,
    ) -> Result<(), GenerateError> {
        let mut snapshot = Snapshot::clone(&self.snapshot.borrow());
        for bucket in buckets {
            let resource = envoy::bucket(plan, *bucket, &self.placement())?;
            snapshot.insert(Kind::Extension, Resource::new(resource.name, resource.body));
        }
        self.hand_out(snapshot, secret);
        Ok(())
    }

    fn hand_out(&mut self, snapshot: Snapshot, secret: Option<Instant>) {
        if **self.snapshot.borrow() != snapshot {
            // The first snapshot waits for an Envoy to start, which is no matter of Secrets.
            if self.pushed_at.is_some() {
                self.secret_changed = self.secret_changed.or(secret);
            }
            self.pushed_at = Some(OffsetDateTime::now_utc());
        }
        let snapshot = Arc::new(snapshot);
        self.snapshot.send_replace(Arc::clone(&snapshot));
        self.handle.publish(snapshot);
    }

    fn placement(&self) -> Placement {
        Placement {
            proxy: self.ports.proxy.address(),
            transparent: self.ports.transparent.as_ref().map(super::ports::Reservation::address),
            module: self.module.clone(),
            epoch: 0,
        }
    }

    pub(super) fn programmed(&self) -> Programmed {
        let (acks, snapshot) = (self.handle.acks(), self.snapshot.borrow());
        let state = acks.borrow();
        if let Some(refusal) = state.refusals(&snapshot).first() {
            return Programmed::Nacked(format!("{:?} {}: {}", refusal.kind, refusal.name, refusal.message));
        }
        match (state.connected(), state.settled(&snapshot)) {
            (0, _) => Programmed::NoProxies,
            (_, true) => Programmed::Yes,
            (_, false) => Programmed::Pending,
        }
    }

    /// How long a changed Secret took to be in use, once: when every connected Envoy holds what is published.
    pub(super) fn secret_settled(&mut self) -> Option<Duration> {
        let changed = self.secret_changed?;
        let acks = self.handle.acks();
        let state = acks.borrow();
        if state.connected() == 0 || !state.settled(&self.snapshot.borrow()) {
            return None;
        }
        self.secret_changed = None;
        Some(changed.elapsed())
    }

    /// Its Envoy ended by itself.
    pub(super) fn restarted(&mut self) {
        self.restarts += 1;
    }

    /// How it stands, in numbers.
    pub(super) fn reading(&self, is_ready: bool, admin: PathBuf) -> metrics::Gateway {
        let (acks, snapshot) = (self.handle.acks(), self.snapshot.borrow());
        let state = acks.borrow();
        let (leaves, first_leaf_ends) = self.handle.leaves();
        let (leaves_minted, authority_ends) = self.handle.minting();
        metrics::Gateway {
            admin,
            is_ready,
            restarts: self.restarts,
            connected: state.connected(),
            settled: state.proxies().values().filter(|proxy| proxy.settled(&snapshot)).count(),
            refused: state.refusals(&snapshot).len(),
            pushed_at: self.pushed_at,
            counts: self.handle.counts(),
            leaves,
            leaves_minted,
            first_leaf_ends,
            authority_ends,
        }
    }

    /// How it stands; `ready` says whether it serves.
    pub(super) fn report(&self, ready: bool) -> GatewayReport {
        let (acks, snapshot) = (self.handle.acks(), self.snapshot.borrow());
        let state = acks.borrow();
        let refused = state.refusals(&snapshot).into_iter().map(|refusal| Refused {
            resource: format!("{:?} {}", refusal.kind, refusal.name),
            why: refusal.message,
        });
        let push = Push {
            at: self.pushed_at.map(status::text),
            envoys: state.connected(),
            acknowledged: state.proxies().values().filter(|proxy| proxy.settled(&snapshot)).count(),
            refused: refused.collect(),
        };
        let (count, next_end) = self.handle.leaves();
        let leaves = Leaves { count, next_end: next_end.map(status::text) };
        GatewayReport { address: self.address(), ready, push, leaves }
    }

    /// Ready when every connected Envoy holds what is published by then: what is published now, or what replaced it
    /// meanwhile. Returns how many Envoys those are.
    pub(super) fn settled(&self) -> impl Future<Output = usize> + use<> {
        let (mut acks, mut snapshot) = (self.handle.acks(), self.snapshot.subscribe());
        async move {
            loop {
                {
                    let (state, wanted) = (acks.borrow_and_update(), snapshot.borrow_and_update());
                    if state.connected() > 0 && state.settled(&wanted) {
                        return state.connected();
                    }
                }
                let gone = tokio::select! {
                    changed = acks.changed() => changed.is_err(),
                    changed = snapshot.changed() => changed.is_err(),
                };
                if gone {
                    return 0;
                }
            }
        }
    }

    pub(super) fn handle(&self) -> &GatewayHandle {
        &self.handle
    }

    pub(super) fn ca(&self) -> String {
        self.ca.display().to_string()
    }

    pub(super) fn address(&self) -> GatewayAddress {
        GatewayAddress {
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
            proxy: format!("http://{}", self.ports.proxy.address()),
            transparent: self.ports.transparent.as_ref().map(|port| port.address().to_string()),
            ca: self.ca(),
        }
    }
}

/// The resources of a plan, by type.
///
/// # Errors
/// As [`envoy::resources`].
fn snapshot(plan: &GatewayPlan, placement: &Placement) -> Result<Snapshot, GenerateError> {
    let resources = envoy::resources(plan, placement)?;
    let known = resources.into_iter().filter_map(|resource| {
        Some((Kind::from_url(&resource.type_url)?, Resource::new(resource.name, resource.body)))
    });
    Ok(known.collect())
}
