//! The manifests of a running `keyward dev`, with the Secrets that stand above them, compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::api::{Kind, Manifest, SecretValue, egress_gateway};
use policy::seal::Keyring;
use policy::secret::Secret;
use time::OffsetDateTime;

use super::ages::Ages;
use super::{secrets, trust};
use crate::cli::Failure;
use crate::compile::{self, Compiled, Touched, compile, renew, rotate};
use crate::conditions::{ObjectRef, Statuses};
use crate::google::Snapshot;
use crate::inputs::{Inputs, Reduced};
use crate::metrics;
use crate::plan::{GatewayPlan, ObjectKey};
use crate::source::{Asked, Directory, Objects, Overrides, Problem};
use crate::state::{Overlay, StateDir, StateError};

pub(super) struct Manifests {
    directory: Directory,
    objects: Objects,
    /// Since when the Secrets among them are as they are.
    ages: Ages,
    asked: Asked,
    /// The specs of gateways that were accepted last.
    accepted: BTreeMap<ObjectKey, Reduced<egress_gateway::Spec>>,
    /// What the plans were compiled from; absent while a gateway serves by another spec than the one that is there.
    inputs: Option<Inputs>,
    plans: BTreeMap<ObjectKey, GatewayPlan>,
    /// The Google tokens that the plans need.
    needed: compile::Tokens,
    /// What was said last of the policies that need them.
    of_needing: Statuses,
    /// How those tokens stand.
    tokens: Arc<Snapshot>,
    flags: Overrides,
    overlay: Overlay,
    keyring: Keyring,
    system_trust: String,
    /// The socket of the inspector.
    inspector: Option<PathBuf>,
    /// Whether what requests cost is read in any case.
    reads_usage: bool,
}

impl Manifests {
    /// Opens the directory and gathers what stands above it: `flags`, and what `secret set` stored.
    ///
    /// # Errors
    /// A directory that cannot be a source, a state directory that cannot be read.
    pub(super) fn open(
        directory: &Path,
        flags: Overrides,
        state: &StateDir,
        inspector: Option<PathBuf>,
        reads_usage: bool,
    ) -> Result<Self, Failure> {
        let keyring = state.keyring().map_err(Failure::failed)?;
        let keyring = Keyring::parse(&keyring).map_err(Failure::failed)?;
        Ok(Manifests {
            directory: Directory::open(directory).map_err(Failure::failed)?,
            objects: Objects::new(),
            ages: Ages::default(),
            asked: Asked::default(),
            accepted: BTreeMap::new(),
            inputs: None,
            plans: BTreeMap::new(),
            needed: compile::Tokens::default(),
            of_needing: Statuses::default(),
            tokens: Arc::default(),
            flags,
            overlay: state.overlay(&keyring).map_err(Failure::failed)?,
            keyring,
            system_trust: trust::system_bundle(std::env::var_os("SSL_CERT_FILE")).map_err(Failure::failed)?,
            inspector,
            reads_usage,
        })
    }

    pub(super) async fn changed(&mut self) {
        self.directory.changed().await;
    }

    /// Reads what is there now, and brings the plans up to it.
    pub(super) fn load(&mut self) -> (Loaded, Vec<Problem>) {
        let loaded = self.directory.load(&self.overrides());
        let secrets_differ = !secrets_of(&self.objects).eq(secrets_of(&loaded.objects));
        self.ages.replaced(&self.objects, &loaded.objects, OffsetDateTime::now_utc());
        self.objects = loaded.objects;
        self.asked = Asked::of(&self.objects);
        let inputs = Inputs::from_objects(&self.objects);
        let change = self.rotated(&inputs).map_or_else(|| self.compile(inputs), Change::values);
        (Loaded { change, secrets_differ }, loaded.problems)
    }

    /// How many objects there are of each kind.
    pub(super) fn count(&self) -> BTreeMap<Kind, u64> {
        let mut counts = BTreeMap::new();
        for object in self.objects.keys() {
            *counts.entry(object.kind).or_default() += 1;
        }
        counts
    }

    /// How old the values of Secrets are.
    pub(super) fn ages(&self) -> metrics::SecretAges {
        self.ages.reading()
    }

    /// The plan of each gateway that serves.
    pub(super) fn plans(&self) -> &BTreeMap<ObjectKey, GatewayPlan> {
        &self.plans
    }

    /// The Google tokens that the plans need.
    pub(super) fn needed(&self) -> &compile::Tokens {
        &self.needed
    }

    /// What token endpoints are verified against, besides what gateways add.
    pub(super) fn system_trust(&self) -> &str {
        &self.system_trust
    }

    /// Brings the plans, and what is said of policies, up to how the tokens stand now.
    pub(super) fn renew(&mut self, tokens: Arc<Snapshot>) -> Change {
        if tokens == self.tokens {
            return Change::values(Touched::new());
        }
        self.tokens = tokens;
        let policies = &self.needed.of_policies;
        let renewed = self
            .inputs
            .as_mut()
            .and_then(|inputs| renew(inputs, &mut self.plans, policies, &self.tokens, |_| &self.keyring));
        let Some(touched) = renewed else { return self.compile(Inputs::from_objects(&self.objects)) };
        self.needed.say(&mut self.of_needing, &self.tokens);
        Change::Values(touched, self.of_needing.clone())
    }

    /// What changed, where nothing but values of Secrets did.
    fn rotated(&mut self, new: &Inputs) -> Option<Touched> {
        let changed = self.inputs.as_ref()?.changed_secrets(new)?;
        let mut touched = Touched::new();
        for secret in changed {
            let values = new.secrets.get(&secret)?.clone();
            for (gateway, buckets) in self.rotate(&secret, values)? {
                touched.entry(gateway).or_default().extend(buckets);
            }
        }
        Some(touched)
    }

    fn rotate(&mut self, secret: &ObjectKey, values: BTreeMap<String, SecretValue>) -> Option<Touched> {
        let policies: Vec<_> = self.asked.policies(secret).cloned().collect();
        rotate(self.inputs.as_mut()?, &mut self.plans, secret, &policies, values, |_| &self.keyring)
    }

    /// A gateway whose object is refused serves on by the spec that was accepted last, with everything else as it is
    /// now: a slip in its spec stops nobody, and a Secret that is deleted meanwhile is gone. Its status is the refusal.
    fn compile(&mut self, mut inputs: Inputs) -> Change {
        inputs.tokens = Arc::clone(&self.tokens);
        inputs.inspector.clone_from(&self.inspector);
        inputs.reads_usage = self.reads_usage;
        self.accepted.retain(|key, _| inputs.gateways.contains_key(key));
        let compiled = compile(&inputs, |_| &self.keyring, &self.system_trust);
        let mut refused = Vec::new();
        for (key, gateway) in &mut inputs.gateways {
            if compiled.gateways.contains_key(key) {
                self.accepted.insert(key.clone(), gateway.clone());
            } else if let Some(accepted) = self.accepted.get(key) {
                *gateway = accepted.clone();
                refused.push(ObjectRef::new(Kind::EgressGateway, key.clone()));
            }
        }
        if refused.is_empty() {
            self.inputs = Some(inputs);
            return self.take(compiled);
        }
        let mut serving = compile(&inputs, |_| &self.keyring, &self.system_trust);
        serving
            .statuses
            .0
            .extend(compiled.statuses.0.into_iter().filter(|(object, _)| refused.contains(object)));
        self.inputs = None;
        self.take(serving)
    }

    fn take(&mut self, Compiled { gateways, statuses, tokens }: Compiled) -> Change {
        let of_policies =
            tokens.of_policies.keys().map(|key| ObjectRef::new(Kind::CredentialInjectionPolicy, key.clone()));
        let said = of_policies.filter_map(|object| Some((object.clone(), statuses.0.get(&object)?.clone())));
        self.of_needing = Statuses(said.collect());
        (self.plans, self.needed) = (gateways, tokens);
        Change::Everything(statuses)
    }

    /// Whether these values can be used where policies use them; a note where nothing names the Secret.
    ///
    /// # Errors
    /// As [`secrets::judge`].
    pub(super) fn judge(
        &self,
        secret: &ObjectKey,
        values: &BTreeMap<String, Secret>,
    ) -> Result<Option<String>, String> {
        secrets::judge(&self.objects, &self.asked, secret, values)
    }

    /// Keeps new values of a Secret, and brings the plans up to them.
    ///
    /// # Errors
    /// They cannot be kept; then nothing changed.
    pub(super) fn set(
        &mut self,
        secret: &ObjectKey,
        values: BTreeMap<String, Secret>,
        state: &StateDir,
    ) -> Result<Change, StateError> {
        for (key, value) in values {
            self.overlay.set(secret.clone(), key, value);
        }
        if let Err(error) = state.keep_overlay(&self.overlay, &self.keyring) {
            self.overlay = state.overlay(&self.keyring)?;
            return Err(error);
        }
        Ok(self.set_alone(secret).map_or_else(|| self.load().0.change, Change::values))
    }

    /// Puts what was set into the objects as they were last read, where that changes nothing but its value.
    fn set_alone(&mut self, secret: &ObjectKey) -> Option<Touched> {
        let object = ObjectRef::new(Kind::Secret, secret.clone());
        let mut objects = Objects::from([(object.clone(), self.objects.get(&object)?.clone())]);
        self.overrides_of(Overrides::default(), |of| of == secret).apply(&mut objects);
        let manifest = objects.remove(&object)?;
        let Manifest::Secret(with_value) = &manifest else { return None };
        let touched = self.rotate(secret, with_value.clone().values())?;
        self.ages.one_replaced(&object, self.objects.get(&object), &manifest, OffsetDateTime::now_utc());
        self.objects.insert(object, manifest);
        Some(touched)
    }

    /// What `secret set` stored in an earlier run and a `--secret` of this one says differently.
    pub(super) fn shadowed(&self) -> Vec<String> {
        let differs = |(secret, key, value): &(&ObjectKey, &str, &Secret)| {
            // Exposed to be compared only.
            self.flags.value(secret, key).is_some_and(|flag| flag != value.expose())
        };
        let note = |(secret, key, _): (&ObjectKey, &str, &Secret)| {
            format!(
                "Secret {secret}, key `{key}`: the value of an earlier `secret set` is used, not that of --secret"
            )
        };
        self.overlay.iter().filter(differs).map(note).collect()
    }

    fn overrides(&self) -> Overrides {
        self.overrides_of(self.flags.clone(), |_| true)
    }

    /// Some overrides, and what was set of some Secrets.
    fn overrides_of(&self, mut overrides: Overrides, of: impl Fn(&ObjectKey) -> bool) -> Overrides {
        for (secret, key, value) in self.overlay.iter().filter(|(secret, ..)| of(secret)) {
            // Exposed to be put into the Secret that policies read.
            overrides.set(secret.clone(), key.to_owned(), value.expose().to_vec());
        }
        overrides
    }
}

fn secrets_of(objects: &Objects) -> impl Iterator<Item = (&ObjectRef, &Manifest)> {
    objects.iter().filter(|(object, _)| object.kind == Kind::Secret)
}

/// What the manifests came to when they were read.
pub(super) struct Loaded {
    pub(super) change: Change,
    /// Whether a Secret is another one than before, or is new, or gone.
    pub(super) secrets_differ: bool,
}

/// What became of the plans.
pub(super) enum Change {
    /// They are new; this is what is said of the objects.
    Everything(Statuses),
    /// Sealed values changed in these buckets, and nothing else. This is what is said of some policies.
    Values(Touched, Statuses),
}

impl Change {
    fn values(touched: Touched) -> Change {
        Change::Values(touched, Statuses::default())
    }
}
