//! The manifests of a running `keyward dev`, with the Secrets that stand above them, compiled.

use std::collections::BTreeMap;

use policy::api::{Kind, egress_gateway};
use policy::seal::Keyring;
use policy::secret::Secret;

use super::args::Args;
use super::trust;
use crate::cli::Failure;
use crate::compile::{Compiled, compile};
use crate::conditions::ObjectRef;
use crate::inputs::{Inputs, Reduced};
use crate::plan::ObjectKey;
use crate::source::{Directory, Objects, Overrides, Problem};
use crate::state::{Overlay, StateDir, StateError};

pub(super) struct Manifests {
    directory: Directory,
    objects: Objects,
    /// The specs of gateways that were accepted last.
    accepted: BTreeMap<ObjectKey, Reduced<egress_gateway::Spec>>,
    flags: Overrides,
    overlay: Overlay,
    keyring: Keyring,
    system_trust: String,
}

impl Manifests {
    /// Opens the directory and gathers what stands above it.
    ///
    /// # Errors
    /// A directory that cannot be a source, a variable that is not set, a state directory that cannot be read.
    pub(super) fn open(args: &Args, state: &StateDir) -> Result<Self, Failure> {
        let keyring = state.keyring().map_err(Failure::failed)?;
        let keyring = Keyring::parse(&keyring).map_err(Failure::failed)?;
        Ok(Manifests {
            directory: Directory::open(&args.manifests).map_err(Failure::failed)?,
            objects: Objects::new(),
            accepted: BTreeMap::new(),
            flags: flags(args)?,
            overlay: state.overlay(&keyring).map_err(Failure::failed)?,
            keyring,
            system_trust: trust::system_bundle(std::env::var_os("SSL_CERT_FILE")).map_err(Failure::failed)?,
        })
    }

    pub(super) async fn changed(&mut self) {
        self.directory.changed().await;
    }

    /// Reads and compiles what is there now.
    pub(super) fn load(&mut self) -> (Compiled, Vec<Problem>) {
        let loaded = self.directory.load(&self.overrides());
        self.objects = loaded.objects;
        (self.compile(), loaded.problems)
    }

    /// A gateway whose object is refused serves on by the spec that was accepted last, with everything else as it is
    /// now: a slip in its spec stops nobody, and a Secret that is deleted meanwhile is gone. Its status is the refusal.
    fn compile(&mut self) -> Compiled {
        let mut inputs = Inputs::from_objects(&self.objects);
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
            return compiled;
        }
        let mut serving = compile(&inputs, |_| &self.keyring, &self.system_trust);
        serving
            .statuses
            .0
            .extend(compiled.statuses.0.into_iter().filter(|(object, _)| refused.contains(object)));
        serving
    }

    /// The objects as they were last read.
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Keeps new values of a Secret, and compiles with them.
    ///
    /// # Errors
    /// They cannot be kept; then nothing changed.
    pub(super) fn set(
        &mut self,
        secret: &ObjectKey,
        values: BTreeMap<String, Secret>,
        state: &StateDir,
    ) -> Result<Compiled, StateError> {
        for (key, value) in values {
            self.overlay.set(secret.clone(), key, value);
        }
        if let Err(error) = state.keep_overlay(&self.overlay, &self.keyring) {
            self.overlay = state.overlay(&self.keyring)?;
            return Err(error);
        }
        Ok(self.load().0)
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
        let mut overrides = self.flags.clone();
        for (secret, key, value) in self.overlay.iter() {
            // Exposed to be put into the Secret that policies read.
            overrides.set(secret.clone(), key.to_owned(), value.expose().to_vec());
        }
        overrides
    }
}

fn flags(args: &Args) -> Result<Overrides, Failure> {
    let mut overrides = Overrides::default();
    for flag in &args.secret {
        let value = std::env::var_os(&flag.variable).ok_or_else(|| {
            Failure::Usage(format!("--secret {}: the variable {} is not set", flag.secret, flag.variable))
        })?;
        overrides.flag(flag.secret.clone(), flag.key.clone(), value.into_encoded_bytes());
    }
    Ok(overrides)
}
