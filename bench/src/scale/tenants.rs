//! The generated world: a gateway, and for each tenant a route to a host of its own, a policy and a Secret.
//!
//! Lengths are those of real life: a host of 34 characters, and a key of 108 that looks like Anthropic's. Of the hosts
//! some are *probed*: they are aliases of the upstream of the benchmark. The rest are configured and never asked.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// How many tenants' hosts are probed.
pub(crate) const PROBED: usize = 48;

/// A tenant that no world has at first, and whose host is probed: it comes and goes.
pub(crate) const GUEST: usize = 99_999;

/// Length of a key in bytes.
pub(crate) const KEY_LENGTH: usize = 108;

const PREFIX: &str = "sk-ant-api03-";

/// The host of a tenant.
#[must_use]
pub(crate) fn host(tenant: usize) -> String {
    format!("tenant-{tenant:05}.inference.example.com")
}

/// The hosts that are probed.
#[must_use]
pub(crate) fn probed_hosts() -> Vec<String> {
    (0..PROBED).chain([GUEST]).map(host).collect()
}

/// The name of a tenant's Secret.
#[must_use]
pub(crate) fn secret(tenant: usize) -> String {
    format!("tenant-{tenant:05}-credentials")
}

/// A tenant's key of a generation, [`KEY_LENGTH`] bytes long. The upstream reads the generation out of it.
#[must_use]
pub(crate) fn key(tenant: usize, generation: usize) -> String {
    let mut key = format!("{PREFIX}{generation:08}");
    let mut digest = Sha256::digest(format!("{tenant} {generation}"));
    while key.len() < KEY_LENGTH {
        for byte in &digest {
            let _ = write!(key, "{byte:02x}");
        }
        digest = Sha256::digest(digest);
    }
    key.truncate(KEY_LENGTH);
    key
}

/// The generation of a key, where it is one of ours.
#[must_use]
pub(crate) fn generation(key: &str) -> Option<usize> {
    key.strip_prefix(PREFIX)?.get(..8)?.parse().ok()
}

/// Which bucket a tenant's host is in, where there are this many (`controller/src/compile/buckets.rs`).
#[must_use]
pub(crate) fn bucket(tenant: usize, buckets: usize) -> usize {
    let digest = Sha256::digest(format!("Secret default/{}", secret(tenant)));
    let number = digest.iter().take(4).fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
    number % buckets
}

/// Writes the manifests of this many tenants, a file for each, with the probed hosts at a port of 127.0.0.1 whose
/// certificate `ca` signed.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn write(folder: &Path, tenants: usize, port: u16, ca: &str) -> io::Result<()> {
    let alias = format!("{{ip: 127.0.0.1, port: {port}, hostnames: [{}]}}", probed_hosts().join(", "));
    let gateway = format!(
        "apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {{name: scale}}
spec:
  defaultPolicy: allow-all
  listeners: [{{name: egress, protocol: TLS, tls: {{mode: Terminate}}}}]
  upstreamTLS: {{additionalTrustBundleSecretRef: {{name: upstream-ca}}, hostAliases: [{alias}]}}
"
    );
    std::fs::write(folder.join("gateway.yaml"), gateway)?;
    let ca = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "upstream-ca"}, "stringData": {"ca.crt": ca},
    });
    std::fs::write(folder.join("upstream-ca.yaml"), ca.to_string())?;
    (0..tenants).try_for_each(|tenant| add(folder, tenant))
}

/// Adds a tenant, whole or not at all.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn add(folder: &Path, tenant: usize) -> io::Result<()> {
    rotate(folder, tenant, 0)
}

/// Gives a tenant a key of this generation, whole or not at all.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn rotate(folder: &Path, tenant: usize, generation: usize) -> io::Result<()> {
    let unfinished = folder.join(format!(".tenant-{tenant:05}.unfinished"));
    std::fs::write(&unfinished, manifests(tenant, generation))?;
    std::fs::rename(unfinished, file(folder, tenant))
}

/// Removes a tenant.
///
/// # Errors
/// The directory cannot be written to.
pub(crate) fn remove(folder: &Path, tenant: usize) -> io::Result<()> {
    std::fs::remove_file(file(folder, tenant))
}

fn file(folder: &Path, tenant: usize) -> std::path::PathBuf {
    folder.join(format!("tenant-{tenant:05}.yaml"))
}

fn manifests(tenant: usize, generation: usize) -> String {
    let (name, host, secret, key) =
        (format!("tenant-{tenant:05}"), host(tenant), secret(tenant), key(tenant, generation));
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {secret}}}
stringData: {{api-key: {key}}}
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: scale}}]
  rules: [{{matches: [{{provider: custom, hosts: [{host}], endpoints: [/v1/messages, /v1/complete]}}]}}]
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: AIProviderRoute, name: {name}}}]
  secretRef: {{name: {secret}}}
  secretKey: api-key
  target: Header
  headerName: x-api-key
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_length_and_their_generation_and_differ() {
        let keys = [key(1, 0), key(1, 70_000), key(2, 0)];
        assert!(keys.iter().all(|key| key.len() == KEY_LENGTH));
        assert_eq!(
            keys.iter().map(|key| generation(key)).collect::<Vec<_>>(),
            [Some(0), Some(70_000), Some(0)]
        );
        assert!(keys[0] != keys[2]);
        assert_eq!(generation("clrk-injected-by-proxy"), None);
    }

    #[test]
    fn a_world_is_a_file_for_each_tenant_beside_the_gateway_and_the_ca() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 3, 1, "PEM").unwrap();
        add(folder.path(), GUEST).unwrap();
        remove(folder.path(), 0).unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "gateway.yaml",
            "tenant-00001.yaml",
            "tenant-00002.yaml",
            "tenant-99999.yaml",
            "upstream-ca.yaml",
        ];
        assert_eq!(names, expected);
    }
}
