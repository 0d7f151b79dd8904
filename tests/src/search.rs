//! Looks for a key in what a run left behind.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Spellings of a key that would give it away.
#[must_use]
pub fn spellings(key: &str) -> Vec<String> {
    let mut all = vec![key.to_owned(), key.chars().rev().collect(), key.replace('-', "%2D")];
    for shift in ["", "x", "xx"] {
        let text = format!("{shift}{key}");
        // The first and the last characters depend on what stands around the key.
        let whole = STANDARD_NO_PAD.encode(&text);
        all.push(whole[4..whole.len() - 4].to_owned());
        let whole = URL_SAFE_NO_PAD.encode(&text);
        all.push(whole[4..whole.len() - 4].to_owned());
    }
    // A header name is lower-cased on its way.
    all.push(key.to_ascii_lowercase());
    all.push(key.bytes().map(|byte| format!("{byte:02x}")).collect());
    all
}

/// What of `needles` stands in `bytes`.
#[must_use]
pub fn found(bytes: &[u8], needles: &[String]) -> Vec<String> {
    let holds = |needle: &&String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    needles.iter().filter(holds).cloned().collect()
}

/// Every file below a folder, sockets too. Panics where it cannot be read.
#[must_use]
pub fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder").filter_map(Result::ok);
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_under(&entry.path()),
            _ => vec![entry.path()],
        })
        .collect()
}
