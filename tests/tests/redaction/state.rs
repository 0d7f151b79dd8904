//! The files of a state directory, and the few that hold keys.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
        let files: Vec<_> = files.collect();
        assert!(!files.is_empty(), "no {name}: {reason}");
        for path in files {
            let mode = std::fs::metadata(&path).expect("a file").mode();
            assert_eq!(mode & 0o777, 0o600, "{name}: {reason}");
            let text = std::fs::read_to_string(&path).expect("text");
            match *name {
                "keyring" => add_sealing_keys(&text, secrets),
                _ => secrets.add("the CA's private key", scalar(&text)),
            }
        }
    }
    secrets.add("a private key in PEM", "PRIVATE KEY-----\nM");
}

/// `NAME:BASE64`, one on each line.
fn add_sealing_keys(text: &str, secrets: &mut Secrets) {
    for (index, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
        let (_, key) = line.split_once(':').expect("a name and a key");
        secrets.add(format!("sealing key {index}"), key);
        secrets.add(format!("bytes of sealing key {index}"), STANDARD.decode(key).expect("base64"));
    }
}

/// What is private in a key on P-256 in PKCS #8: 32 bytes in an octet string (RFC 5915). The rest is in certificates too.
fn scalar(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(lines).expect("base64");
    let start =
        der.windows(2).position(|pair| pair == [0x04, 0x20]).expect("an octet string of 32 bytes") + 2;
    der[start..start + 32].to_vec()
}
