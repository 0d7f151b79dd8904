//! Files to objects and problems: pure, but for what it remembers of the time when a file was good.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use policy::api::{Kind, Manifest, ManifestError, SecretValue};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::overrides::{OverrideNames, Overrides};
use super::problem::Problem;
use super::yaml::{self, Node};
use super::{DEFAULT_NAMESPACE, Loaded, Objects};
use crate::conditions::ObjectRef;
use crate::parallel;
use crate::plan::ObjectKey;

/// What a directory holds: the bytes of each manifest file by name, or why it could not be read.
pub type Listing = BTreeMap<String, Result<Zeroizing<Vec<u8>>, String>>;

/// What each file was, so that a file that turns bad keeps its last good objects, and one that did not change is not
/// read again.
#[derive(Default)]
pub struct LastGood {
    files: BTreeMap<String, Remembered>,
    names: OverrideNames,
}

/// One file as it was read last.
#[derive(Default)]
struct Remembered {
    digest: Option<[u8; 32]>,
    objects: Objects,
    problems: Vec<Problem>,
}

impl Remembered {
    /// Whether the file may be read otherwise where these Secrets are overridden in another way: it holds one, or had
    /// a problem, which may be such a Secret's.
    fn may_differ(&self, secrets: &BTreeSet<&ObjectKey>) -> bool {
        let mut held = self.objects.keys().filter(|object| object.kind == Kind::Secret);
        !secrets.is_empty() && (!self.problems.is_empty() || held.any(|object| secrets.contains(&object.key)))
    }
}

/// Turns files into objects.
///
/// A file that cannot be read or parsed keeps its last good objects, and so does an object that its kind refuses, and
/// a file with one that does not say which it is; the other files and objects serve. Where files disagree, the first
/// one by name wins.
pub fn load(listing: &Listing, last_good: &mut LastGood, overrides: &Overrides) -> Loaded {
    last_good.files.retain(|file, _| listing.contains_key(file));
    // Which Secrets are overridden (not with what) decides how the files that hold them are read.
    let (before, names) = (std::mem::take(&mut last_good.names), overrides.names());
    let reread = before.differing(&names);
    read_again(listing, last_good, &reread, overrides);
    last_good.names = names;
    let mut loaded = Loaded { objects: Objects::new(), problems: Vec::new() };
    let mut homes = BTreeMap::new();
    for (file, remembered) in &last_good.files {
        loaded.problems.extend(remembered.problems.iter().cloned());
        loaded.problems.extend(merge(file, &remembered.objects, &mut loaded.objects, &mut homes));
    }
    loaded.problems.extend(overrides.unusable(&loaded.objects));
    overrides.apply(&mut loaded.objects);
    loaded
}

/// Reads the files that changed, or that may be read otherwise where these Secrets are overridden in another way.
fn read_again(
    listing: &Listing,
    last_good: &mut LastGood,
    overridden: &BTreeSet<&ObjectKey>,
    overrides: &Overrides,
) {
    let none = Remembered::default();
    let files: Vec<_> = listing.iter().collect();
    let read = parallel::map(&files, |(file, bytes)| {
        let remembered = last_good.files.get(*file).unwrap_or(&none);
        let digest = bytes.as_ref().ok().map(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)));
        let stale = digest.is_none() || digest != remembered.digest || remembered.may_differ(overridden);
        stale.then(|| read(file, bytes, digest, &remembered.objects, overrides))
    });
    for ((file, _), remembered) in files.into_iter().zip(read) {
        if let Some(remembered) = remembered {
            last_good.files.insert(file.clone(), remembered);
        }
    }
}

fn read(
    file: &str,
    bytes: &Result<Zeroizing<Vec<u8>>, String>,
    digest: Option<[u8; 32]>,
    kept: &Objects,
    overrides: &Overrides,
) -> Remembered {
    let mut reader = FileReader {
        file,
        kept,
        overrides,
        objects: Objects::new(),
        problems: Vec::new(),
        has_nameless: false,
    };
    reader.read(bytes);
    Remembered { digest, objects: reader.objects, problems: reader.problems }
}

/// Adds a file's objects to those of the files before it.
fn merge(
    file: &str,
    objects: &Objects,
    into: &mut Objects,
    homes: &mut BTreeMap<ObjectRef, String>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (object, manifest) in objects {
        match homes.entry(object.clone()) {
            Entry::Vacant(home) => {
                home.insert(file.to_owned());
                into.insert(object.clone(), manifest.clone());
            }
            Entry::Occupied(home) => problems.push(duplicate(file, object, home.get())),
        }
    }
    problems
}

fn duplicate(file: &str, object: &ObjectRef, home: &str) -> Problem {
    Problem {
        object: Some(object.to_string()),
        ..Problem::of_file(
            file,
            format!("this object stands in {home} already, and that one serves"),
            "remove or rename one of the two",
        )
    }
}

/// Reads one file.
struct FileReader<'a> {
    file: &'a str,
    kept: &'a Objects,
    overrides: &'a Overrides,
    objects: Objects,
    problems: Vec<Problem>,
    /// It holds something that does not say which object it is.
    has_nameless: bool,
}

impl FileReader<'_> {
    fn read(&mut self, bytes: &Result<Zeroizing<Vec<u8>>, String>) {
        match bytes {
            Err(reason) => {
                self.keep_all(None, &format!("cannot be read: {reason}"), "make it a readable, regular file");
            }
            Ok(bytes) => match yaml::documents(bytes) {
                Err(error) => self.keep_all(error.line, &error.message, "correct it"),
                Ok(documents) => documents.iter().for_each(|document| self.document(document)),
            },
        }
        if self.has_nameless {
            // It may be any of them.
            for (object, manifest) in self.kept {
                self.objects.entry(object.clone()).or_insert_with(|| manifest.clone());
            }
        }
    }

    /// The whole file is unusable: what it last held serves on.
    fn keep_all(&mut self, line: Option<u64>, message: &str, remedy: &str) {
        self.objects = self.kept.clone();
        let held = match self.kept.len() {
            0 => "nothing of it is served",
            _ => "its last good objects serve on",
        };
        let problem = Problem::of_file(self.file, format!("{message} ({held})"), remedy);
        self.problems.push(Problem { line, ..problem });
    }

    fn document(&mut self, node: &Node) {
        let mut value = node.to_value();
        let named = named(&value);
        self.has_nameless |= named.is_none() && may_be_ours(&value);
        if named.as_ref().is_some_and(|object| self.is_replaced(object)) {
            strip_values(&mut value);
        }
        match Manifest::from_value(value) {
            Ok(manifest) => self.accept(node, manifest),
            Err(error) => self.refuse(node, named, &error),
        }
    }

    fn is_replaced(&self, object: &ObjectRef) -> bool {
        object.kind == Kind::Secret && self.overrides.replaces(&object.key)
    }

    fn accept(&mut self, node: &Node, manifest: Manifest) {
        let object = reference(&manifest);
        if self.objects.contains_key(&object) {
            let problem = duplicate(self.file, &object, self.file);
            self.problems.push(Problem { line: Some(node.line()), ..problem });
            return;
        }
        self.note_values(node, &object, &manifest);
        self.note_age(node, &object, &manifest);
        self.objects.insert(object, manifest);
    }

    /// One object is unusable: what it last was serves on.
    fn refuse(&mut self, node: &Node, named: Option<ObjectRef>, error: &ManifestError) {
        let kept = named.as_ref().and_then(|object| Some((object.clone(), self.kept.get(object)?.clone())));
        let may_be_any = named.is_none() && self.has_nameless;
        let held = match &kept {
            Some(_) => "its last good version serves on",
            None if may_be_any && !self.kept.is_empty() => "what the file last held serves on",
            None => "it is not served",
        };
        self.problems.push(Problem {
            file: Some(self.file.to_owned()),
            line: Some(node.line_of(&error.path)),
            object: Some(named.map_or_else(|| error.identity.to_string(), |object| object.to_string())),
            field: Some(error.path.to_string()).filter(|path| !path.is_empty()),
            message: format!("{} ({held})", error.cause),
            remedy: error.remedy(),
        });
        if let Some((object, manifest)) = kept {
            self.objects.entry(object).or_insert(manifest);
        }
    }

    /// Says which values of a Secret are no base64, unless nothing reads them.
    fn note_values(&mut self, node: &Node, object: &ObjectRef, manifest: &Manifest) {
        let Manifest::Secret(secret) = manifest else { return };
        for (key, value) in &secret.data {
            let is_read = !secret.string_data.contains_key(key) && !self.overrides.covers(&object.key, key);
            if is_read && matches!(value, SecretValue::NotBase64) {
                let message = format!("the value of {key} is not base64; whatever uses it is refused");
                let remedy = "encode it, write it under stringData as it is, or pass it with --secret";
                self.note(node, object, &["data", key], message, remedy);
            }
        }
    }

    fn note_age(&mut self, node: &Node, object: &ObjectRef, manifest: &Manifest) {
        let stamp = manifest.metadata().creation_timestamp.as_deref();
        if stamp.is_some_and(|stamp| OffsetDateTime::parse(stamp, &Rfc3339).is_err()) {
            let message = "not an RFC 3339 time; the object counts as having no age".to_owned();
            let remedy = "remove it, or write it like 2026-01-31T12:00:00Z";
            self.note(node, object, &["metadata", "creationTimestamp"], message, remedy);
        }
    }

    fn note(&mut self, node: &Node, object: &ObjectRef, path: &[&str], message: String, remedy: &str) {
        let path = policy::api::FieldPath(
            path.iter().map(|name| policy::api::Step::Field((*name).to_owned())).collect(),
        );
        self.problems.push(Problem {
            file: Some(self.file.to_owned()),
            line: Some(node.line_of(&path)),
            object: Some(object.to_string()),
            field: Some(path.to_string()),
            message,
            remedy: remedy.to_owned(),
        });
    }
}

/// Who a manifest says it is, before it is decoded.
pub(super) fn named(value: &Value) -> Option<ObjectRef> {
    let text = |path| value.pointer(path).and_then(Value::as_str);
    let kind = Kind::parse(text("/kind")?)?;
    let namespace = text("/metadata/namespace").unwrap_or(DEFAULT_NAMESPACE).to_owned();
    Some(ObjectRef::new(kind, ObjectKey { namespace, name: text("/metadata/name")?.to_owned() }))
}

/// Whether this can be an object of a kind that is read here, as far as its kind says.
fn may_be_ours(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str).is_none_or(|kind| Kind::parse(kind).is_some())
}

fn reference(manifest: &Manifest) -> ObjectRef {
    let metadata = manifest.metadata();
    let namespace = metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    ObjectRef::new(manifest.kind(), ObjectKey { namespace, name: metadata.name.clone() })
}

/// A Secret that the command line replaces may hold anything.
fn strip_values(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.remove("data");
        fields.remove("stringData");
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
