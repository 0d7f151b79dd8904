//! The Node that the command would find, where it is one that reads no proxy.
//!
//! It is not run to be asked: what lies on the `PATH` may be of a command that ran before, and nothing of those is run
//! outside of its place. The headers that come with Node name its version; where there are none, nothing is said.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Since these versions, and in no release of 23, `NODE_USE_ENV_PROXY` means something.
const READS_PROXY: [(u32, u32); 2] = [(22, 21), (24, 0)];

/// What is to be said of the first `node` on this `PATH`.
pub(super) fn note(path: Option<&OsString>) -> Option<String> {
    let candidates = env::split_paths(path?).map(|directory| directory.join("node"));
    let node = candidates.into_iter().find(|node| node.is_file())?;
    let (major, minor) = version(&fs::canonicalize(&node).ok()?)?;
    (!reads_proxy(major, minor)).then(|| {
        format!(
            "{} is Node {major}.{minor}, which reads no proxy from the environment: what its programs send does not \
             pass the gateway, and has a placeholder for a key; put Node 24 or newer first on the PATH",
            node.display()
        )
    })
}

fn reads_proxy(major: u32, minor: u32) -> bool {
    let [old, new] = READS_PROXY;
    (major, minor) >= new || (major == old.0 && minor >= old.1)
}

/// What `include/node/node_version.h` says, beside the `bin` of a Node: major and minor version.
fn version(node: &Path) -> Option<(u32, u32)> {
    let text = fs::read_to_string(node.parent()?.parent()?.join("include/node/node_version.h")).ok()?;
    let part = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name))?;
        value.trim().parse().ok()
    };
    Some((part("NODE_MAJOR_VERSION ")?, part("NODE_MINOR_VERSION ")?))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_versions_that_read_a_proxy_are_those_of_the_release_notes() {
        let reads = [(22, 21), (22, 22), (24, 0), (26, 5)];
        assert!(reads.into_iter().all(|(major, minor)| reads_proxy(major, minor)));
        let does_not = [(20, 20), (22, 20), (23, 11), (18, 99)];
        assert!(!does_not.into_iter().any(|(major, minor)| reads_proxy(major, minor)));
    }

    #[test]
    fn an_old_node_is_told_by_its_headers_and_one_without_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let install = |name: &str, version: Option<&str>| {
            let root = folder.path().join(name);
            fs::create_dir_all(root.join("bin")).expect("a folder");
            fs::write(root.join("bin/node"), "").expect("a file");
            if let Some(version) = version {
                let text = format!(
                    "#ifndef X\n#define NODE_MAJOR_VERSION {version}\n#define NODE_MINOR_VERSION 1\n"
                );
                fs::create_dir_all(root.join("include/node")).expect("a folder");
                fs::write(root.join("include/node/node_version.h"), text).expect("a file");
            }
            root.join("bin")
        };
        let (old, new) = (install("old", Some("20")), install("new", Some("24")));
        let (unknown, broken) = (install("unknown", None), install("broken", Some("many")));
        let check = |directories: &[&PathBuf], said: bool| {
            let path = env::join_paths(directories).expect("a path");
            assert_eq!(note(Some(&path)).is_some(), said, "{directories:?}");
        };
        check(&[&old, &new], true);
        check(&[&new, &old], false);
        check(&[&unknown], false);
        check(&[&broken], false);
        check(&[], false);
        assert!(note(None).is_none());
        let said = note(Some(&old.into_os_string())).expect("a note");
        assert!(said.contains("/old/bin/node is Node 20.1,") && said.contains("Node 24"), "{said}");
    }
}
