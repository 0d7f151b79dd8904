//! The files of a state directory, and the few that hold keys.

use std::path::Path;

use harness::search::files_under;

use super::secrets::Secrets;

/// Files that hold a key, and why each has to. All others, `overlay.json` with its sealed values among them, are searched.
const HOLD_KEYS: &[(&str, &str)] = &[
    ("keyring", "a controller that starts again opens with it what it sealed before"),
    ("ca.key", "a gateway that starts again mints leaves that its agents trust already"),
];

/// Whether a file is one of those that hold a key.
pub(crate) fn holds_key(path: &Path) -> bool {
    HOLD_KEYS.iter().any(|(name, _)| path.file_name().is_some_and(|file| file == *name))
}

/// Adds what these files hold. Panics where one of them is missing, or readable for others.
pub(crate) fn add_keys(state: &Path, secrets: &mut Secrets) {
    for (name, reason) in HOLD_KEYS {
        let files =
            files_under(state).into_iter().filter(|path| path.file_name().is_some_and(|it| it == *name));
        let mut found = 0;
        for path in files {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).expect("a file"));
            assert_eq!(mode & 0o777, 0o600, "{name}: {reason}");
            let text = std::fs::read_to_string(&path).expect("text");
            // Keys stand in lines of PEM, or behind a name.
            let parts = text.split([':', ',', '\n']).map(str::trim).filter(|part| is_key(part));
            for (index, part) in parts.enumerate() {
                secrets.add(format!("part {index} of {name}"), part);
                found += 1;
            }
        }
        assert!(found > 0, "no key in {name}: {reason}");
    }
    secrets.add("a private key in PEM", "PRIVATE KEY-----\nM");
}

fn is_key(part: &str) -> bool {
    part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}
