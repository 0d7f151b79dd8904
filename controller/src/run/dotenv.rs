//! `.env` files of the working directory that hold a live key: the command could read it there.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use policy::secret::Secret;
use zeroize::Zeroizing;

use super::environment::{contains, live};
use super::keys::Secrets;
use super::providers::variables;

/// Files beyond this size are no `.env` files.
const LIMIT: u64 = 1 << 20;

/// The files `.env`, `.env.local`, `.env.…` of a directory that hold one of these secrets, or a value of a variable that
/// is known to be a provider's key, in order of their names.
pub(super) fn with_keys(directory: &Path, secrets: &Secrets) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let named = entries.map(|entry| entry.path()).filter(|path| is_named_so(path));
    let live: Vec<Secret> = secrets.values().filter_map(live).collect();
    let mut found: Vec<PathBuf> =
        named.filter(|path| read(path).is_some_and(|text| holds(&text, &live))).collect();
    found.sort();
    found
}

fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name == ".env" || name.starts_with(".env."))
}

fn read(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    // A pipe or a device would block.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    fs::File::open(path).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn holds(text: &[u8], live: &[Secret]) -> bool {
    live.iter().any(|secret| contains(text, secret)) || text.split(|byte| *byte == b'\n').any(assigns_key)
}

/// Whether a line is `VARIABLE=value` of a provider's key, with something that can be one.
fn assigns_key(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let Some((name, value)) = line.trim().split_once('=') else { return false };
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let value = value.trim().trim_matches(['"', '\'']);
    let is_reference = value.starts_with('$') || value.starts_with('<');
    !is_reference
        && variables().any(|variable| variable == name)
        && Secret::credential(value.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use policy::secret::PLACEHOLDER;

    use super::*;

    #[test]
    fn a_file_that_holds_a_live_key_is_found_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            (".env", "A=1\nOPENAI_API_KEY=\"sk-other-0123456789\"\n".to_owned()),
            (".env.local", "export ANYTHING='Bearer sk-0123456789'".to_owned()),
            (".env.placeholder", format!("OPENAI_API_KEY={PLACEHOLDER}")),
            (".env.example", "OPENAI_API_KEY=<your key here>\nANTHROPIC_API_KEY=\n".to_owned()),
            (".env.indirect", "OPENAI_API_KEY=${REAL_OPENAI_KEY}\n".to_owned()),
            (".environment", "sk-0123456789".to_owned()),
        ] {
            fs::write(folder.path().join(name), text).expect("written");
        }
        fs::create_dir(folder.path().join(".env.d")).expect("a directory");
        let secrets = Secrets::from([("KEY".to_owned(), Secret::new(b"sk-0123456789".to_vec()))]);
        let found = with_keys(folder.path(), &secrets);
        assert_eq!(found, [folder.path().join(".env"), folder.path().join(".env.local")]);
    }
}
