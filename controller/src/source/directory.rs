//! The directory as a source: opened, loaded, watched.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use thiserror::Error;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, sleep, timeout};

use super::Loaded;
use super::files::{self, Stamp};
use super::load::{LastGood, Listing, load};
use super::overrides::Overrides;
use super::places::Places;
use super::problem::Problem;

/// How long the directory must have been quiet before a change counts as complete.
const QUIET: Duration = Duration::from_millis(50);

/// How long a change may take to become quiet before it is taken as it is.
const RESTLESS: Duration = Duration::from_secs(1);

/// How often the directory is looked at without having been told: links that lead out of it, network file systems.
const POLL: Duration = Duration::from_secs(1);

/// A directory of manifests.
pub struct Directory {
    path: PathBuf,
    last_good: LastGood,
    last_listing: Listing,
    seen: Option<BTreeMap<String, Option<Stamp>>>,
    events: Receiver<()>,
    pending: bool,
    // Watches as long as it lives. Absent where the kernel gave no watch: then polling alone notices changes.
    _watcher: Option<RecommendedWatcher>,
}

/// Why a directory cannot be a source.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nothing is there.
    #[error("{0}: no such directory; create it, or name the directory that holds the manifests")]
    Missing(PathBuf),
    /// Something else is there.
    #[error("{0}: not a directory; name the directory that holds the manifests, not one of its files")]
    NotADirectory(PathBuf),
    /// It cannot be listed.
    #[error("{path}: cannot be read ({cause}); give this user read and search permission on it")]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It holds no manifest.
    #[error(
        "{0}: holds no *.yaml or *.yml file; put the manifests there (directories inside it are not read)"
    )]
    Empty(PathBuf),
}

impl Directory {
    /// Opens a directory and begins to watch it.
    ///
    /// # Errors
    /// It is missing, not a directory, unreadable, or empty.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        // One waiting event says as much as many do.
        let (sender, events) = channel(1);
        let watcher = watch(&path, move || {
            let _ = sender.try_send(());
        });
        let files = files::manifests(&path).map_err(|cause| open_error(&path, cause))?;
        if files.is_empty() {
            return Err(OpenError::Empty(path));
        }
        Ok(Directory {
            path,
            last_good: LastGood::default(),
            last_listing: Listing::new(),
            seen: None,
            events,
            pending: false,
            _watcher: watcher,
        })
    }

    /// Reads every file. Blocks for at most 100 ms for each file that changes meanwhile.
    pub fn load(&mut self, overrides: &Overrides) -> Loaded {
        self.seen = files::stamps(&self.path);
        let trouble = match files::read(&self.path) {
            Ok(listing) => {
                let is_empty = listing.is_empty();
                self.last_listing = listing;
                is_empty.then(|| {
                    Problem::of_directory(
                        "the directory holds no *.yaml or *.yml file any more",
                        "put one there",
                    )
                })
            }
            Err(cause) => Some(Problem::of_directory(
                format!("the directory cannot be read: {cause} (the last good objects serve on)"),
                "restore the directory or its permissions",
            )),
        };
        let mut loaded = load(&self.last_listing, &mut self.last_good, overrides);
        loaded.problems.splice(0..0, trouble);
        loaded
    }

    /// Waits until the files have changed and been quiet for 50 ms (or restless for a second). Dropping the future
    /// loses nothing: the next call returns at once.
    pub async fn changed(&mut self) {
        while !self.pending {
            match timeout(POLL, self.events.recv()).await {
                Ok(Some(())) => self.pending = true,
                // No watcher: its sender is gone.
                Ok(None) => {
                    sleep(POLL / 4).await;
                    self.pending = self.differs();
                }
                Err(_) => self.pending = self.differs(),
            }
        }
        self.settle().await;
        self.pending = false;
    }

    fn differs(&self) -> bool {
        files::stamps(&self.path) != self.seen
    }

    async fn settle(&mut self) {
        let deadline = Instant::now() + RESTLESS;
        while Instant::now() < deadline {
            match timeout(QUIET, self.events.recv()).await {
                Ok(Some(())) => {}
                Ok(None) => return sleep(QUIET).await,
                Err(_) => return,
            }
        }
    }
}

/// Reads a directory once, without watching it; also where each object stands.
///
/// # Errors
/// As [`Directory::open`].
pub(crate) fn read_once(path: &Path, overrides: &Overrides) -> Result<(Loaded, Places), OpenError> {
    let listing = files::read(path).map_err(|cause| open_error(path, cause))?;
    if listing.is_empty() {
        return Err(OpenError::Empty(path.to_owned()));
    }
    Ok((load(&listing, &mut LastGood::default(), overrides), Places::of(&listing)))
}

fn open_error(path: &Path, cause: io::Error) -> OpenError {
    let path = path.to_owned();
    match cause.kind() {
        io::ErrorKind::NotFound => OpenError::Missing(path),
        io::ErrorKind::NotADirectory => OpenError::NotADirectory(path),
        _ => OpenError::Unreadable { path, cause },
    }
}

fn watch(path: &Path, notify: impl Fn() + Send + 'static) -> Option<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(&event.kind)) {
            notify();
        }
    })
    .ok()?;
    watcher.watch(path, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

/// Everything but reading, which is what this source does itself.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => matches!(access, AccessKind::Close(AccessMode::Write)),
        _ => true,
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
