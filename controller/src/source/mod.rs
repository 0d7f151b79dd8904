//! Where objects come from: a directory of manifests.
//!
//! Every `*.yaml` and `*.yml` of the directory itself is read, each with any number of documents; files whose name
//! begins with a dot, and directories inside it, are not. Reading is kept apart from what the files mean
//! ([`load()`], pure) and from noticing that they changed ([`Directory::changed`]).

mod asked;
mod directory;
mod files;
mod load;
mod overrides;
mod places;
mod problem;
mod yaml;

use std::collections::BTreeMap;

use policy::api::Manifest;

pub(crate) use asked::Asked;
pub(crate) use directory::read_once;
pub use directory::{Directory, OpenError};
pub use load::{LastGood, Listing, load};
pub use overrides::{BadSecretFlag, Overrides, SecretFlag};
pub(crate) use places::Places;
pub use problem::Problem;

use crate::conditions::ObjectRef;

/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Objects by who they are.
pub type Objects = BTreeMap<ObjectRef, Manifest>;

/// What a directory holds. (No `Debug`: it may hold Secrets.)
pub struct Loaded {
    /// The objects, Secrets from outside the manifests put in.
    pub objects: Objects,
    /// What is wrong, in order of files and lines.
    pub problems: Vec<Problem>,
}
