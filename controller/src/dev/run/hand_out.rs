//! What new manifests, values and tokens come to: gateways that start and end, and snapshots for their Envoys.

use std::sync::Arc;
use std::time::Instant;

use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

use super::Dev;
use crate::certificates::Leaves;
use crate::cli::Failure;
use crate::compile::Touched;
use crate::conditions::Statuses;
use crate::dev::args::Listen;
use crate::dev::event::{Event, GatewayState};
use crate::dev::gateway::Gateway;
use crate::dev::manifests::{Change, Loaded};
use crate::dev::ports::Addresses;
use crate::plan::ObjectKey;
use crate::xds::acks::AckState;

impl Dev {
    /// Reads the manifests again and hands out what differs.
    pub(super) fn reload(&mut self) -> Result<(), Failure> {
        let since = Instant::now();
        let (Loaded { change, secrets_differ }, problems) = self.manifests.load();
        for problem in self.report.new_problems(problems) {
            self.emit(Event::Problem { message: problem })?;
        }
        self.apply(change, secrets_differ.then_some(since))
    }

    /// `secret` is when a changed Secret was loaded, where one did.
    pub(super) fn apply(&mut self, change: Change, secret: Option<Instant>) -> Result<(), Failure> {
        let is_everything = matches!(change, Change::Everything(_));
        self.hand_out(change, secret)?;
        // What a value that was rotated is sealed for needs the same tokens as before.
        if is_everything { self.want_tokens() } else { Ok(()) }
    }

    /// Wants the Google tokens that the plans need. The token of an account that is gone goes with it at once.
    fn want_tokens(&mut self) -> Result<(), Failure> {
        let (needed, system_trust) = (&self.manifests.needed().wanted, self.manifests.system_trust());
        if let Err(error) = self.tokens.want(needed, system_trust) {
            self.fail_or_report(Failure::failed(error))?;
        }
        self.renew()
    }

    /// Hands out what came of Google tokens: new ones, and what is said of them.
    pub(super) fn renew(&mut self) -> Result<(), Failure> {
        let change = self.manifests.renew(self.tokens.snapshot());
        // A renewed token is no changed Secret.
        self.hand_out(change, None)
    }

    fn hand_out(&mut self, change: Change, secret: Option<Instant>) -> Result<(), Failure> {
        match change {
            Change::Everything(statuses) => self.apply_everything(statuses, secret),
            Change::Values(touched, statuses) => {
                self.of_others.0.extend(statuses.0);
                self.apply_values(&touched, secret)
            }
        }
    }

    /// Hands out plans that are new, and starts and ends gateways.
    fn apply_everything(&mut self, statuses: Statuses, secret: Option<Instant>) -> Result<(), Failure> {
        let known: Vec<ObjectKey> = self.manifests.plans().keys().cloned().collect();
        let gone: Vec<_> = self.gateways.keys().filter(|key| !known.contains(key)).cloned().collect();
        for key in gone {
            self.remove(&key)?;
        }
        let new: Vec<_> = known.iter().filter(|key| !self.gateways.contains_key(key)).collect();
        for key in new {
            if let Err(failure) = self.add(key, &known) {
                self.fail_or_report(failure)?;
            }
        }
        let plans = self.manifests.plans();
        let published = self.gateways.iter_mut();
        let published = published.filter_map(|(key, gateway)| gateway.publish(plans.get(key)?, secret).err());
        for error in published.collect::<Vec<_>>() {
            self.fail_or_report(Failure::failed(error))?;
        }
        self.report.forget_all_but(&statuses);
        (self.of_gateways, self.of_others) = statuses.split();
        Ok(())
    }

    /// Hands out buckets whose sealed values are new.
    fn apply_values(&mut self, touched: &Touched, secret: Option<Instant>) -> Result<(), Failure> {
        let mut failed = Vec::new();
        for (key, buckets) in touched {
            let Some(plan) = self.manifests.plans().get(key) else { continue };
            let Some(gateway) = self.gateways.get_mut(key) else { continue };
            failed.extend(gateway.publish_buckets(plan, buckets, secret).err());
        }
        failed.into_iter().try_for_each(|error| self.fail_or_report(Failure::failed(error)))
    }

    fn add(&mut self, key: &ObjectKey, known: &[ObjectKey]) -> Result<(), Failure> {
        // After the start a gateway may come or go; the flags were right for those of the start.
        let (listen, transparent) = match self.ready {
            false => (self.args.listen.clone(), self.args.transparent_listen.clone()),
            true => (named(&self.args.listen, known), named(&self.args.transparent_listen, known)),
        };
        let addresses = Addresses::assign(&listen, &transparent, known)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let ports = addresses.reserve(key).map_err(Failure::failed)?;
        let authority = self.state.authority(key, OffsetDateTime::now_utc()).map_err(Failure::failed)?;
        let ca = self.state.authority_path(key).map_err(Failure::failed)?;
        let handle = self.server.gateway(key.clone(), Leaves::new(authority));
        tokio::spawn(notify(handle.acks(), self.answered.clone()));
        let gateway = Gateway::new(key.clone(), ports, handle, ca, self.envoys.module().to_owned());
        self.gateways.insert(key.clone(), gateway);
        self.envoys.start(key, &self.xds)
    }

    fn remove(&mut self, key: &ObjectKey) -> Result<(), Failure> {
        self.envoys.end(key);
        if let Some(gateway) = self.gateways.remove(key) {
            gateway.handle().remove();
        }
        self.gateway_event(key, GatewayState::Removed)
    }
}

/// The values of a flag that speak of gateways that exist.
fn named(values: &[Listen], known: &[ObjectKey]) -> Vec<Listen> {
    let exists = |listen: &&Listen| listen.gateway.as_ref().is_some_and(|key| known.contains(key));
    values.iter().filter(exists).cloned().collect()
}

/// Tells of every change until the gateway is gone.
async fn notify(mut acks: watch::Receiver<AckState>, answered: Arc<Notify>) {
    while acks.changed().await.is_ok() {
        answered.notify_one();
    }
}
