//! The files of the machine that say where names lead and whom to trust, replaced in this mount namespace alone.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where distributions keep the CA bundle; the first that exists is the one that programs read.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The replacements. Their mounts end with the namespace.
pub(super) struct Files {
    bundle: PathBuf,
    _folder: tempfile::TempDir,
}

impl Files {
    /// Replaces resolver, hosts file and CA bundle.
    ///
    /// # Errors
    /// What is missing or refused, by name.
    pub(super) fn mount(resolver: IpAddr, authority: &str) -> Result<Files, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
        let over = |name: &str, text: &str, target: &Path| -> Result<(), String> {
            let file = folder.path().join(name);
            std::fs::write(&file, text)
                .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
            bind(&file, target)
        };
        over("resolv.conf", &format!("nameserver {resolver}\n"), Path::new("/etc/resolv.conf"))?;
        over("hosts", "", Path::new("/etc/hosts"))?;
        let system = BUNDLES.iter().map(Path::new).find(|path| path.exists());
        let system =
            system.ok_or_else(|| format!("no system CA bundle (looked at {})", BUNDLES.join(", ")))?;
        let trusted = std::fs::read_to_string(system);
        let trusted = trusted.map_err(|error| format!("{} cannot be read: {error}", system.display()))?;
        over("bundle.pem", &format!("{trusted}\n{authority}"), system)?;
        Ok(Files { bundle: folder.path().join("bundle.pem"), _folder: folder })
    }

    pub(super) fn bundle(&self) -> &Path {
        &self.bundle
    }
}

fn bind(file: &Path, target: &Path) -> Result<(), String> {
    let output = Command::new("mount").arg("--bind").arg(file).arg(target).output();
    let output =
        output.map_err(|error| format!("the command `mount` (util-linux) cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{} cannot be replaced: {}", target.display(), said.trim()))
}
