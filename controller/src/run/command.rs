//! Whether there is a command to run, found out before anything is started.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::sandbox::ProgramError;

/// Where commands are looked for without `PATH` (execvp(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Looks for a command as execvp(3) does.
///
/// # Errors
/// [`ProgramError::NotFound`], or [`ProgramError::NotExecutable`] where all that is found cannot be executed.
pub(super) fn look_for(name: &OsStr, path: Option<&OsString>) -> Result<(), ProgramError> {
    let candidates: Vec<PathBuf> = match name.as_encoded_bytes().contains(&b'/') {
        true => vec![name.into()],
        false => {
            let path = path.map_or(OsStr::new(DEFAULT_PATH), |path| path.as_os_str());
            env::split_paths(path).map(|directory| directory.join(name)).collect()
        }
    };
    let found: Vec<io::Result<()>> = candidates
        .iter()
        .filter(|candidate| candidate.exists())
        .map(|candidate| executable(candidate))
        .collect();
    if name.is_empty() || found.is_empty() {
        return Err(ProgramError::NotFound(name.to_owned()));
    }
    if found.iter().any(Result::is_ok) {
        return Ok(());
    }
    let cause =
        found.into_iter().find_map(Result::err).unwrap_or_else(|| io::ErrorKind::PermissionDenied.into());
    Err(ProgramError::NotExecutable { program: name.to_owned(), cause })
}

fn executable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    access(path, Access::EXEC_OK).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_command_is_found_or_the_exit_code_says_why_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        for (directory, mode) in [(&first, 0o644), (&second, 0o755)] {
            fs::create_dir(directory).expect("a directory");
            let file = directory.join("tool");
            fs::write(&file, "#!/bin/sh\n").expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
        }
        let both = env::join_paths([&first, &second]).expect("a path");
        let code = |name: &OsStr, path: &OsString| match look_for(name, Some(path)) {
            Ok(()) => 0,
            Err(error) => error.exit_code(),
        };
        for (name, path, expected) in [
            ("tool".into(), &both, 0),
            ("tool".into(), &first.clone().into_os_string(), 126),
            ("nothing".into(), &both, 127),
            (OsString::new(), &both, 127),
            (second.join("tool").into_os_string(), &OsString::new(), 0),
            (first.clone().into_os_string(), &both, 126),
            (first.join("nothing").into_os_string(), &both, 127),
        ] {
            assert_eq!(code(&name, path), expected, "{}", name.display());
        }
        assert!(look_for(OsStr::new("sh"), None).is_ok());
    }
}
