//! Keeping keys out of what other processes of the same user may read of this one.
//!
//! What `execve` was given stays in `/proc/PID/environ` for the life of a process, whatever it does to its variables
//! later. So the program is executed once more without them, and their values come along in an unnamed file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use policy::secret::Secret;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use zeroize::Zeroizing;

use crate::cli::Failure;
use crate::core_dumps;

/// The variable that tells the second life which descriptor holds the values. No command gets to see it.
pub const HANDED_OVER: &str = "KEYWARD_HANDED_OVER";

/// The name that the unnamed file goes by in `/proc/self/fd`: nothing else is taken for it.
const NAME: &str = "keyward-variables";

/// Variables that are no longer in this process's environment.
pub struct Taken(BTreeMap<String, Secret>);

impl Taken {
    /// Takes a value out.
    pub fn remove(&mut self, name: &str) -> Option<Secret> {
        self.0.remove(name)
    }

    /// A value, where the variable was set.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// The names of all that were set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Keeps other processes of the same user from reading this one's memory and environment, and core dumps from being
/// written. `execve` undoes the former, so every life of the program asks for it.
pub fn close_to_others() {
    core_dumps::off();
    // It cannot fail with this argument (prctl(2)).
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Gets these variables out of this process's initial environment: executes the program once more without them, and
/// returns their values in its second life. Also does what [`close_to_others`] does.
///
/// To be called while there is one thread: what another one starts meanwhile would inherit the values.
///
/// # Errors
/// [`Failure`] when the program cannot be executed again, or what was handed over cannot be read.
pub fn take_variables(names: &[String]) -> Result<Taken, Failure> {
    close_to_others();
    let inherited = inherited().map_err(|error| failed("read what was handed over", &error))?;
    // Whatever the marker says: with one of them in sight this is not the second life yet.
    let in_sight: BTreeMap<&str, Secret> = names
        .iter()
        .filter_map(|name| Some((name.as_str(), Secret::new(std::env::var_os(name)?.into_vec()))))
        .collect();
    if in_sight.is_empty() {
        return Ok(Taken(inherited));
    }
    let values = inherited.iter().map(|(name, value)| (name.as_str(), value));
    let mut all: BTreeMap<&str, &Secret> = values.collect();
    all.extend(in_sight.iter().map(|(name, value)| (*name, value)));
    Err(failed("start again without the keys in its environment", &again(&all, names)))
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("keyward cannot {what}: {error}"))
}

/// Becomes the program again; returns only when that cannot be done.
fn again(values: &BTreeMap<&str, &Secret>, names: &[String]) -> io::Error {
    let file = match hand_over(values) {
        Ok(file) => file,
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os();
    let kept = std::env::vars_os().filter(|(name, _)| !names.iter().any(|taken| name == taken.as_str()));
    Command::new("/proc/self/exe")
        .arg0(arguments.next().unwrap_or_else(|| OsString::from("keyward")))
        .args(arguments)
        .env_clear()
        .envs(kept)
        .env(HANDED_OVER, file.as_raw_fd().to_string())
        .exec()
}

/// A file in memory that the next life inherits: for each variable its name and value, with their lengths before them.
fn hand_over(values: &BTreeMap<&str, &Secret>) -> io::Result<File> {
    let mut file = File::from(memfd_create(NAME, MemfdFlags::empty())?);
    for (name, value) in values {
        // Exposed to be handed to the next life of this process, and to nobody else.
        for part in [name.as_bytes(), value.expose()] {
            file.write_all(&(part.len() as u64).to_ne_bytes())?;
            file.write_all(part)?;
        }
    }
    file.rewind()?;
    Ok(file)
}

/// What an earlier life handed over. A descriptor that is something else is left alone, as if nothing was said.
fn inherited() -> io::Result<BTreeMap<String, Secret>> {
    let descriptor = std::env::var(HANDED_OVER).ok().and_then(|text| text.parse::<u32>().ok());
    let Some(descriptor) = descriptor else { return Ok(BTreeMap::new()) };
    let path = format!("/proc/self/fd/{descriptor}");
    let is_ours = std::fs::read_link(&path)
        .is_ok_and(|target| target.as_os_str().as_bytes().starts_with(format!("/memfd:{NAME}").as_bytes()));
    if !is_ours {
        return Ok(BTreeMap::new());
    }
    let mut file = File::options().read(true).write(true).open(&path)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0)));
    file.read_to_end(&mut bytes)?;
    // Nothing of it stays, neither in the file nor for programs that this one starts.
    file.set_len(0)?;
    let inherited = i32::try_from(descriptor).map_err(io::Error::other)?;
    nix::unistd::close(inherited)?;
    parse(&bytes).ok_or_else(|| io::Error::other("it is cut short"))
}

fn parse(mut bytes: &[u8]) -> Option<BTreeMap<String, Secret>> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_ne_bytes(*length)).ok()?)?;
        bytes = rest;
        Some((part.to_vec(), rest.is_empty()))
    };
    let mut values = BTreeMap::new();
    loop {
        let (name, _) = part()?;
        let (value, last) = part()?;
        values.insert(OsStr::from_bytes(&name).to_str()?.to_owned(), Secret::new(value));
        if last {
            return Some(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_comes_back_byte_for_byte() {
        let (one, two) = (Secret::new(b"line\nline\0\xff".to_vec()), Secret::new(Vec::new()));
        let mut file = hand_over(&BTreeMap::from([("ONE", &one), ("TWO", &two)])).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let parsed = parse(&bytes).unwrap();
        let values: Vec<_> = parsed.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(values, [("ONE", one.expose()), ("TWO", two.expose())]);
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_none_or(|values| values.len() < 2), "{cut}");
        }
    }
}
