//! Finding Envoy: the one that the caller names, else the one on `PATH`, else the pinned one that the set-up
//! installs. The first that is found decides; one that does not fit is an error, never skipped.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Envoy with everything that the generated configuration uses.
pub const OLDEST: Version = Version { major: 1, minor: 40, patch: 0 };

/// The environment variable that names an Envoy.
pub const VARIABLE: &str = "KEYWARD_ENVOY";

/// Where the set-up puts the pinned Envoy, under the directory of the project.
const PINNED: &str = ".tools/bin/envoy";

/// A version of Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// An Envoy that was found and fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Its path.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// Where Envoy was looked for, and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--envoy`
    Flag,
    /// [`VARIABLE`]
    Variable,
    /// `PATH`
    Path,
    /// The pinned one.
    Pinned,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "--envoy",
            Origin::Variable => VARIABLE,
            Origin::Path => "PATH",
            Origin::Pinned => PINNED,
        })
    }
}

/// Why there is no Envoy to run.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// None anywhere.
    #[error(
        "no Envoy found: not by --envoy, not by {VARIABLE}, not on PATH, and no {PINNED} here or beside this \
         program. `make setup` installs the pinned one; or name one of version {OLDEST} or newer with --envoy"
    )]
    Missing,
    /// What was named or found cannot be run.
    #[error(
        "{path} (from {origin}) cannot be run as Envoy: {cause}. Name one of version {OLDEST} or newer with --envoy"
    )]
    Unusable {
        /// Its path.
        path: PathBuf,
        /// Where it was found.
        origin: Origin,
        /// What went wrong.
        cause: io::Error,
    },
    /// It runs, but is not Envoy.
    #[error(
        "{path} (from {origin}) is not Envoy: `--version` does not say so. Name one of version {OLDEST} or newer \
         with --envoy"
    )]
    NotEnvoy {
        /// Its path.
        path: PathBuf,
        /// Where it was found.
        origin: Origin,
    },
    /// It is too old.
    #[error(
        "{path} (from {origin}) is Envoy {found}, and Keyward needs {OLDEST} or newer. `make setup` installs the \
         pinned one; name it with --envoy {PINNED}"
    )]
    TooOld {
        /// Its path.
        path: PathBuf,
        /// Where it was found.
        origin: Origin,
        /// Its version.
        found: Version,
    },
}

/// Where to look.
#[derive(Debug, Clone, Default)]
struct Places {
    flag: Option<PathBuf>,
    variable: Option<OsString>,
    path: Option<OsString>,
    pinned: Vec<PathBuf>,
}

/// Finds Envoy and asks it for its version. `flag` is the value of `--envoy`.
///
/// # Errors
/// [`BinaryError`], with what was found, where, and the remedy.
pub fn find(flag: Option<&Path>) -> Result<Binary, BinaryError> {
    let program = env::current_exe().ok();
    let above_program = program.iter().flat_map(|program| program.ancestors().skip(1));
    let here = env::current_dir().ok();
    let pinned =
        here.iter().map(PathBuf::as_path).chain(above_program).map(|directory| directory.join(PINNED));
    let places = Places {
        flag: flag.map(Path::to_owned),
        variable: env::var_os(VARIABLE).filter(|value| !value.is_empty()),
        path: env::var_os("PATH"),
        pinned: pinned.collect(),
    };
    find_in(&places, ask)
}

fn find_in(places: &Places, ask: impl Fn(&Path) -> io::Result<String>) -> Result<Binary, BinaryError> {
    let (path, origin) = locate(places).ok_or(BinaryError::Missing)?;
    // Without a directory in its name the kernel would look for it on PATH.
    let path = if path.components().count() == 1 { Path::new(".").join(path) } else { path };
    let output = match ask(&path) {
        Ok(output) => output,
        Err(cause) => return Err(BinaryError::Unusable { path, origin, cause }),
    };
    match version(&output) {
        None => Err(BinaryError::NotEnvoy { path, origin }),
        Some(found) if found < OLDEST => Err(BinaryError::TooOld { path, origin, found }),
        Some(version) => Ok(Binary { path, version }),
    }
}

/// What a program says when asked for its version.
fn ask(path: &Path) -> io::Result<String> {
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn locate(places: &Places) -> Option<(PathBuf, Origin)> {
    let named = places.flag.clone().map(|path| (path, Origin::Flag));
    let variable = || places.variable.clone().map(|path| (PathBuf::from(path), Origin::Variable));
    let on_path = || on_path(places.path.as_deref()?).map(|path| (path, Origin::Path));
    let pinned =
        || places.pinned.iter().find(|path| path.is_file()).map(|path| (path.clone(), Origin::Pinned));
    named.or_else(variable).or_else(on_path).or_else(pinned)
}

fn on_path(path: &OsStr) -> Option<PathBuf> {
    // An empty entry means the current directory, which is no place to run programs from.
    let directories = env::split_paths(path).filter(|directory| !directory.as_os_str().is_empty());
    directories.map(|directory| directory.join("envoy")).find(|file| file.is_file())
}

/// The version in the output of `envoy --version`: `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(output: &str) -> Option<Version> {
    let (_, build) = output.split_once(" version: ")?;
    let numbers = build.split('/').nth(1)?;
    // Builds between releases are called `1.41.0-dev`.
    let mut numbers = numbers.split('-').next()?.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Version { major: next()?, minor: next()?, patch: next()? })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A stand-in for a program, in a directory of its own. It "says" what the file holds.
    fn program(directory: &Path, line: &str) -> PathBuf {
        let path = directory.join("envoy");
        fs::create_dir_all(directory).unwrap();
        fs::write(&path, line).unwrap();
        path
    }

    fn says(path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn envoy(version: &str) -> String {
        format!("envoy  version: 9e5580/{version}/Clean/RELEASE/BoringSSL")
    }

    #[test]
    fn the_version_is_read_from_envoys_own_words() {
        let table = [
            ("\nx/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n", Some((1, 40, 0))),
            ("envoy  version: 9e55/1.41.2-dev/Modified/DEBUG/BoringSSL", Some((1, 41, 2))),
            ("envoy  version: 9e55/unknown/Clean", None),
            ("envoy  version: 1.40.0", None),
            ("Python 3.11.7", None),
            ("", None),
        ];
        for (output, expected) in table {
            let found = version(output).map(|v| (v.major, v.minor, v.patch));
            assert_eq!(found, expected, "{output}");
        }
    }

    #[test]
    fn a_program_is_asked_in_its_own_words() {
        assert!(ask(Path::new("/bin/sh")).is_ok());
        assert!(ask(Path::new("/nonexistent/envoy")).is_err());
    }

    #[test]
    fn what_is_named_goes_before_what_lies_about() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str, version: &str| program(&root.path().join(name), &envoy(version));
        let pinned = at("pinned", "1.40.3");
        let on_path = at("path", "1.40.2");
        let variable = at("variable", "1.40.1");
        let flag = at("flag", "1.40.0");
        let mut places =
            Places { pinned: vec![root.path().join("nothing"), pinned.clone()], ..Default::default() };
        let mut expect = |set: &dyn Fn(&mut Places), path: &Path| {
            set(&mut places);
            assert_eq!(find_in(&places, says).unwrap().path, path);
        };
        expect(&|_| (), &pinned);
        expect(&|places| places.path = on_path.parent().map(|p| p.as_os_str().to_owned()), &on_path);
        expect(&|places| places.variable = Some(variable.clone().into()), &variable);
        expect(&|places| places.flag = Some(flag.clone()), &flag);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_was_found_where_and_the_remedy() {
        let root = tempfile::tempdir().unwrap();
        let check = |path: PathBuf, expected: &[&str]| {
            let error =
                find_in(&Places { flag: Some(path.clone()), ..Default::default() }, says).unwrap_err();
            let message = error.to_string();
            for part in expected.iter().chain(&["--envoy", path.to_str().unwrap()]) {
                assert!(message.contains(part), "{message}");
            }
        };
        check(program(&root.path().join("old"), &envoy("1.39.3")), &["1.39.3", "1.40.0", "make setup"]);
        check(program(&root.path().join("other"), "hello"), &["is not Envoy"]);
        check(root.path().join("absent"), &["cannot be run"]);
        let message = find_in(&Places::default(), says).unwrap_err().to_string();
        assert!(message.contains("KEYWARD_ENVOY") && message.contains("make setup"), "{message}");
    }
}
