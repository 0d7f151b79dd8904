//! Manifests read and compiled as a gateway would have them, with nothing running: no state directory is opened, no
//! token endpoint asked, nothing sent.

use std::path::Path;
use std::sync::Arc;

use policy::seal::Keyring;
use policy::secret::Secret;
use time::{Duration, OffsetDateTime};

use super::Failure;
use super::progress::Progress;
use crate::compile::{Compiled, compile};
use crate::google::{Snapshot, Token, TokenState};
use crate::inputs::Inputs;
use crate::source::{Loaded, Places, Problem, SecretFlag, read_once};
use crate::{dev, state};

/// What a directory comes to. (No `Debug`: it may hold Secrets.)
pub(super) struct Offline {
    pub(super) problems: Vec<Problem>,
    pub(super) places: Places,
    /// How many objects there are, Secrets included.
    pub(super) objects: usize,
    pub(super) compiled: Compiled,
    /// The text of the key that its values are sealed with: made for this process alone.
    keyring: zeroize::Zeroizing<String>,
}

impl Offline {
    /// Reads and compiles a directory.
    ///
    /// # Errors
    /// [`Failure`]: the directory cannot be read, or a variable of a `--secret` is not set.
    pub(super) fn read(directory: &Path, secrets: &[SecretFlag]) -> Result<Offline, Failure> {
        let _progress = Progress::of("reading and compiling the manifests");
        let (loaded, places) = read_once(directory, &dev::flags(secrets)?).map_err(Failure::failed)?;
        let Loaded { objects, problems } = loaded;
        let text = state::new_keyring().map_err(Failure::failed)?;
        let keyring = Keyring::parse(&text).map_err(Failure::failed)?;
        let mut inputs = Inputs::from_objects(&objects);
        let needed = compile(&inputs, |_| &keyring, "").tokens;
        // A gateway would obtain them. Whether it can is not known here, so every token that is needed counts as there.
        inputs.tokens =
            Arc::new(needed.wanted.keys().map(|key| (key.clone(), assumed())).collect::<Snapshot>());
        let compiled = compile(&inputs, |_| &keyring, "");
        Ok(Offline { problems, places, objects: objects.len(), compiled, keyring: text })
    }

    /// The key that its values are sealed with.
    pub(super) fn keyring(&self) -> Result<Keyring, Failure> {
        Keyring::parse(&self.keyring).map_err(Failure::failed)
    }
}

/// A token that no one issued, in the place of one that a gateway would have.
fn assumed() -> Arc<TokenState> {
    let value = Arc::new(Secret::new(b"assumed-and-never-sent".to_vec()));
    let token = Token { value, expires_at: OffsetDateTime::now_utc() + Duration::hours(1) };
    Arc::new(TokenState::held(token))
}
