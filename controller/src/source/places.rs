//! Where in the files each object stands, for whoever reports what became of it. Secrets are left out: what is said of
//! them while they are read has its line already, and their values are not to be kept.

use std::collections::BTreeMap;

use policy::api::{FieldPath, Kind};

use super::load::{Listing, named};
use super::yaml::{self, Node};
use crate::conditions::ObjectRef;

/// The document of each object.
#[derive(Default)]
pub(crate) struct Places(BTreeMap<ObjectRef, (String, Node)>);

impl Places {
    /// The first document of each object by file and place, which is the one that serves.
    pub(crate) fn of(listing: &Listing) -> Places {
        let mut places = Places::default();
        for (file, bytes) in listing {
            let documents = bytes.as_ref().ok().and_then(|bytes| yaml::documents(bytes).ok());
            for node in documents.into_iter().flatten() {
                let object = named(&node.to_value()).filter(|object| object.kind != Kind::Secret);
                if let Some(object) = object {
                    places.0.entry(object).or_insert_with(|| (file.clone(), node));
                }
            }
        }
        places
    }

    /// Whether an object has a field.
    pub(crate) fn holds(&self, object: &ObjectRef, field: &FieldPath) -> bool {
        self.0.get(object).is_some_and(|(_, node)| node.holds(field))
    }

    /// The file of an object, and the line of a field of it, or of the nearest thing around the field that is there.
    pub(crate) fn find(&self, object: &ObjectRef, field: &FieldPath) -> Option<(&str, u64)> {
        let (file, node) = self.0.get(object)?;
        Some((file, node.line_of(field)))
    }
}
