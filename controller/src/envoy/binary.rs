//! Which Envoy to run: found in a fixed order, and refused where it is not one that works.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Envoy that works: `capability_restriction_config` in `VmConfig` and on-demand secrets over ADS.
pub const OLDEST: (u32, u32) = (1, 40);

/// Where `make setup` puts the pinned Envoy, relative to the repository.
const PINNED: &str = ".tools/bin/envoy";

/// An Envoy that answered `--version` with a version that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Its path.
    pub path: PathBuf,
    /// Its version, such as `1.40.0`.
    pub version: String,
}

/// Why no Envoy can be run.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// None was found.
    #[error(
        "no Envoy found: not in $KEYWARD_ENVOY, not on PATH, and no {PINNED} near here; run `make setup`, or name one \
         with --envoy"
    )]
    Missing,
    /// It cannot be run.
    #[error("{path} (from {from}) cannot be run: {error}; name an Envoy 1.40 or newer with --envoy", path = path.display())]
    Unusable {
        /// Its path.
        path: PathBuf,
        /// What named it.
        from: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// It does not say what Envoy says.
    #[error("{path} (from {from}) is not an Envoy: `--version` does not answer as Envoy does; name another with --envoy", path = path.display())]
    NotEnvoy {
        /// Its path.
        path: PathBuf,
        /// What named it.
        from: &'static str,
    },
    /// It is too old.
    #[error(
        "{path} (from {from}) is Envoy {version}, and Keyward needs {}.{} or newer; run `make setup`, or name another \
         with --envoy", OLDEST.0, OLDEST.1, path = path.display()
    )]
    TooOld {
        /// Its path.
        path: PathBuf,
        /// What named it.
        from: &'static str,
        /// Its version.
        version: String,
    },
}

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `--envoy`.
    pub flag: Option<PathBuf>,
    /// `$KEYWARD_ENVOY`.
    pub variable: Option<OsString>,
    /// `$PATH`.
    pub path: Option<OsString>,
    /// Directories whose ancestors may hold the pinned one: the working directory, the program's own.
    pub near: Vec<PathBuf>,
}

impl Search {
    /// What this process was given.
    #[must_use]
    pub fn from_environment(flag: Option<PathBuf>) -> Search {
        let program = std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
        Search {
            flag,
            variable: std::env::var_os("KEYWARD_ENVOY").filter(|value| !value.is_empty()),
            path: std::env::var_os("PATH"),
            near: std::env::current_dir().ok().into_iter().chain(program).collect(),
        }
    }

    /// Finds an Envoy and asks it for its version. The first that is named is the one that counts: a wrong one is
    /// an error, not passed over.
    ///
    /// # Errors
    /// [`BinaryError`], which says what was found, where, and what to do.
    pub fn find(&self) -> Result<Binary, BinaryError> {
        let (path, from) = self.locate().ok_or(BinaryError::Missing)?;
        probe(path, from)
    }

    fn locate(&self) -> Option<(PathBuf, &'static str)> {
        let named = self.flag.clone().map(|path| (path, "--envoy"));
        let variable = || self.variable.clone().map(|path| (PathBuf::from(path), "$KEYWARD_ENVOY"));
        let on_path = || Some((self.on_path()?, "PATH"));
        let pinned = || Some((self.pinned()?, "make setup"));
        named.or_else(variable).or_else(on_path).or_else(pinned)
    }

    fn on_path(&self) -> Option<PathBuf> {
        let directories = std::env::split_paths(self.path.as_ref()?).collect::<Vec<_>>();
        directories.into_iter().map(|directory| directory.join("envoy")).find(|path| path.is_file())
    }

    fn pinned(&self) -> Option<PathBuf> {
        let ancestors = self.near.iter().flat_map(|directory| directory.ancestors());
        ancestors.map(|directory| directory.join(PINNED)).find(|path| path.is_file())
    }
}

fn probe(path: PathBuf, from: &'static str) -> Result<Binary, BinaryError> {
    let output = Command::new(&path).arg("--version").env_clear().output();
    let output = output.map_err(|error| BinaryError::Unusable { path: path.clone(), from, error })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(version) = version(&text) else { return Err(BinaryError::NotEnvoy { path, from }) };
    if numbers(version) < Some(OLDEST) {
        return Err(BinaryError::TooOld { path, from, version: version.to_owned() });
    }
    Ok(Binary { path, version: version.to_owned() })
}

/// The version in `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("version:")?;
    rest.trim().split('/').nth(1).filter(|version| numbers(version).is_some())
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(folder: &Path, name: &str, prints: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn of_version(folder: &Path, name: &str, version: &str) -> PathBuf {
        script(folder, name, &format!("\nenvoy  version: abc/{version}/Clean/RELEASE/BoringSSL\n"))
    }

    #[test]
    fn the_first_place_that_names_one_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for directory in ["path", "repo/.tools/bin", "repo/target"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        let flag = of_version(folder.path(), "flag", "1.40.1");
        let variable = of_version(folder.path(), "variable", "1.41.0");
        let on_path = of_version(&path("path"), "envoy", "2.0.0");
        let pinned = of_version(&path("repo/.tools/bin"), "envoy", "1.40.0-dev");
        let mut search = Search {
            flag: Some(flag.clone()),
            variable: Some(variable.clone().into()),
            path: Some(path("path").into()),
            near: vec![path("repo/target")],
        };
        assert_eq!(search.find().unwrap().path, flag);
        search.flag = None;
        assert_eq!(search.find().unwrap(), Binary { path: variable, version: "1.41.0".into() });
        search.variable = None;
        assert_eq!(search.find().unwrap().path, on_path);
        search.path = None;
        assert_eq!(search.find().unwrap().path, pinned);
        search.near.clear();
        assert!(search.find().unwrap_err().to_string().contains("make setup"));
    }

    #[test]
    fn an_envoy_that_cannot_work_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| {
            let search = Search { flag: Some(path.to_owned()), ..Search::default() };
            search.find().unwrap_err().to_string()
        };
        let old = refusal(&of_version(folder.path(), "old", "1.39.3"));
        assert!(old.contains("1.39.3") && old.contains("1.40") && old.contains("--envoy"), "{old}");
        let other = refusal(&script(folder.path(), "other", "nginx version: nginx/1.22"));
        assert!(other.contains("is not an Envoy"), "{other}");
        let missing = refusal(&folder.path().join("none"));
        assert!(missing.contains("none") && missing.contains("cannot be run"), "{missing}");
    }
}
