//! What a gateway's Envoy says about itself, and what the kernel says about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Gateway;
use crate::admin;

impl Gateway {
    /// The answer of the admin interface of the only Envoy to a GET, with its head. Panics when nothing answers.
    #[must_use]
    pub fn admin(&self, path: &str) -> String {
        let socket = socket_below(self.state()).expect("the admin socket of an Envoy");
        admin::ask(&socket, path).expect("an answer of the admin interface")
    }

    /// The counters and gauges whose names this expression finds.
    #[must_use]
    pub fn stats(&self, expression: &str) -> BTreeMap<String, u64> {
        let answer = self.admin(&format!("/stats?filter={expression}"));
        let lines = answer.lines().filter_map(|line| line.rsplit_once(": "));
        lines.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
    }

    /// Resident memory of the only Envoy, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let id = self.envoys()[0];
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running Envoy");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

fn socket_below(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    entries
        .filter_map(|path| match path.is_dir() {
            true => socket_below(&path),
            false => path.ends_with("admin.sock").then_some(path),
        })
        .next()
}
