//! What a directory of manifests would serve, before anything is started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use policy::host::HostPattern;
use policy::seal::Keyring;

use crate::cli::Failure;
use crate::compile::compile;
use crate::inputs::Inputs;
use crate::plan::{DefaultPolicy, ObjectKey};
use crate::source::{Directory, Overrides};
use crate::state;

/// What there is to know of a gateway from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    /// What happens to hosts that no route names.
    pub(crate) default_policy: DefaultPolicy,
    /// The hosts that routes name: a request to one has a credential of ours, or is refused.
    pub(crate) hosts: BTreeSet<HostPattern>,
}

/// The gateways of a directory that would be served. Problems are not told here: a start tells them.
///
/// # Errors
/// A directory that cannot be a source.
pub(crate) fn outlines(manifests: &Path, flags: &Overrides) -> Result<BTreeMap<ObjectKey, Outline>, Failure> {
    let mut directory = Directory::open(manifests).map_err(Failure::failed)?;
    let inputs = Inputs::from_objects(&directory.load(flags).objects);
    // For this once: nothing that is sealed here is kept.
    let keyring = state::new_keyring().map_err(Failure::failed)?;
    let keyring = Keyring::parse(&keyring).map_err(Failure::failed)?;
    let plans = compile(&inputs, |_| &keyring, "").gateways.into_iter();
    let outline = plans.map(|(key, plan)| {
        let outline =
            Outline { default_policy: plan.default_policy, hosts: plan.hosts.into_keys().collect() };
        (key, outline)
    });
    Ok(outline.collect())
}
