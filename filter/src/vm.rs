//! What the requests and the buckets of one VM share: the credentials, the keyring that opens them, what each bucket's
//! configuration was last, and the spans that wait to be sent.
//!
//! The only global. Envoy gives each update of a bucket a new root context in the same VM; values that an old one
//! opened are needed after it is gone (responses are scrubbed of them for ten more minutes), and values that other
//! buckets opened need not be opened again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use policy::outbox::Outbox;
use policy::rules::{Collector, ConfigError, RuleSet, Vault};
use policy::seal::Keyring;

use crate::host;
use crate::metrics::Metrics;

/// The variable that the keyring comes in. Envoy passes it on by `host_env_keys`, so a dump shows the name only.
const KEYRING: &str = "KEYWARD_KEYRING";

/// How often a VM looks for values that nobody uses any more.
const SWEEP: Duration = Duration::from_secs(30);

/// How often spans are sent while some wait.
const TELL: Duration = Duration::from_millis(500);

/// When a batch is sent that waits for nothing: not by the request that made it whole.
const NOW: Duration = Duration::from_millis(1);

pub(crate) struct Vm {
    pub(crate) vault: Vault,
    /// The rules that each root id was given last, as long as a root context or a request holds them.
    latest: BTreeMap<Vec<u8>, Weak<RuleSet>>,
    swept: Duration,
    /// Spans for each collector, by its cluster.
    outboxes: BTreeMap<Rc<str>, Outbox>,
    /// When the tick comes that was asked for last.
    tick: Duration,
    pub(crate) metrics: Metrics,
}

impl Vm {
    /// Keeps a span for each of these.
    pub(crate) fn tell(&mut self, collectors: &[Collector], span: &[u8]) {
        for collector in collectors {
            self.outboxes.entry(Rc::clone(collector.cluster())).or_default().add(span.to_vec());
        }
    }

    /// The period to ask for now that a span waits; `None`: the tick that is to come is soon enough. Asking again puts it
    /// off, for ever where requests end more often.
    pub(crate) fn hurry(&mut self, now: Duration) -> Option<Duration> {
        let wait = self.tick.saturating_sub(now);
        let is_late = wait.is_zero() || wait > self.period(now);
        is_late.then(|| self.next_tick(now))
    }

    /// The period to ask for after a tick.
    pub(crate) fn next_tick(&mut self, now: Duration) -> Duration {
        let period = self.period(now);
        self.tick = now + period;
        period
    }

    fn period(&self, now: Duration) -> Duration {
        let mut outboxes = self.outboxes.values();
        match outboxes.clone().any(|outbox| outbox.is_due(now)) {
            true => NOW,
            false if outboxes.all(Outbox::is_empty) => SWEEP,
            false => TELL,
        }
    }

    /// The spans for the collector behind this cluster.
    pub(crate) fn outbox(&mut self, cluster: &str) -> Option<&mut Outbox> {
        self.outboxes.get_mut(cluster)
    }

    /// Counts what became of spans since the last time, and forgets collectors that are gone.
    pub(crate) fn settle(&mut self, now: Duration) {
        self.outboxes.retain(|_, outbox| {
            let is_gone = outbox.abandon(now);
            self.metrics.export(outbox.take_counts());
            !is_gone
        });
    }

    /// Compiles what this root id is given now, and forgets the values that nothing uses any more because of it.
    pub(crate) fn compile(
        &mut self,
        root_id: Option<Vec<u8>>,
        json: &[u8],
        now: Option<Duration>,
    ) -> Result<Rc<RuleSet>, ConfigError> {
        let before = root_id.as_ref().and_then(|id| self.latest.get(id)).and_then(Weak::upgrade);
        let rules = match before {
            Some(before) => RuleSet::compile_after(&before, json, &mut self.vault),
            None => RuleSet::compile(json, &mut self.vault),
        };
        let rules = Rc::new(rules?);
        if let Some(id) = root_id {
            self.latest.insert(id, Rc::downgrade(&rules));
        }
        if let Some(now) = now {
            self.vault.sweep_policies_of(&rules, now);
        }
        Ok(rules)
    }

    /// Sweeps the vault, where that was not done lately: every bucket of the VM has a clock of its own.
    pub(crate) fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.vault.sweep(now);
        }
    }
}

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm {
        vault: Vault::new(read_keyring()),
        latest: BTreeMap::new(),
        swept: Duration::ZERO,
        outboxes: BTreeMap::new(),
        tick: Duration::ZERO,
        metrics: Metrics::default(),
    });
}

/// Lends the VM's state; `None` when it is lent already, which no callback does.
pub(crate) fn with<T>(use_it: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.try_with(|vm| vm.try_borrow_mut().ok().map(|mut vm| use_it(&mut vm))).ok().flatten()
}

/// Without a keyring no credential opens, so every rule that needs one denies.
fn read_keyring() -> Option<Keyring> {
    let text = std::env::var(KEYRING).ok()?;
    match Keyring::parse(&text) {
        Ok(keyring) => Some(keyring),
        Err(error) => {
            host::log_error(&format!("keyward: {KEYRING} cannot be read: {error}"));
            None
        }
    }
}
