//! What Java needs: it reads neither the proxy variables nor a file in PEM, but `JAVA_TOOL_OPTIONS`
//! (<https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/net/doc-files/net-properties.html>) and a trust
//! store.
//!
//! The store is of type JKS, the oldest: every Java reads it, and for certificates alone it needs no encryption. Its
//! form is that of OpenJDK's `sun.security.provider.JavaKeyStore`.

use std::net::SocketAddr;
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;
/// What every Java's own store has. It protects nothing: what is in the store is public.
const PASSWORD: &str = "changeit";

/// A trust store of these certificates (DER).
pub(super) fn trust_store(certificates: &[Vec<u8>]) -> Vec<u8> {
    let mut store = Vec::new();
    let count = u32::try_from(certificates.len()).unwrap_or(u32::MAX);
    for word in [MAGIC, VERSION, count] {
        store.extend(word.to_be_bytes());
    }
    for (index, certificate) in certificates.iter().enumerate() {
        store.extend(TRUSTED_CERTIFICATE.to_be_bytes());
        text(&mut store, &format!("ca{index}"));
        // When it was added: nobody asks.
        store.extend(0_u64.to_be_bytes());
        text(&mut store, "X.509");
        store.extend(u32::try_from(certificate.len()).unwrap_or(u32::MAX).to_be_bytes());
        store.extend(certificate);
    }
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for part in [password.as_slice(), b"Mighty Aphrodite", &store] {
        digest.update(part);
    }
    store.extend(digest.finish().as_ref());
    store
}

/// Java's `writeUTF` of ASCII.
fn text(to: &mut Vec<u8>, text: &str) {
    to.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(text.as_bytes());
}

/// `JAVA_TOOL_OPTIONS`: the user's, and ours after them, because the last of several values holds.
pub(super) fn options(user: &str, proxy: SocketAddr, direct: &str, trust_store: &Path) -> String {
    let (host, port) = (proxy.ip(), proxy.port());
    let mut options: Vec<String> = vec![user.to_owned()];
    options.retain(|user| !user.trim().is_empty());
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={host}"));
        options.push(format!("-D{scheme}.proxyPort={port}"));
    }
    options.push(format!("-Dhttp.nonProxyHosts={direct}"));
    options.push(format!("\"-Djavax.net.ssl.trustStore={}\"", trust_store.display()));
    options.push("-Djavax.net.ssl.trustStoreType=jks".to_owned());
    options.push(format!("-Djavax.net.ssl.trustStorePassword={PASSWORD}"));
    options.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stand_after_the_users() {
        let proxy = "127.0.0.1:4001".parse().expect("an address");
        let options = |user| options(user, proxy, "localhost", Path::new("/tmp/a b/trust.jks"));
        assert_eq!(
            options("-Xmx1g -Dhttps.proxyHost=corp"),
            "-Xmx1g -Dhttps.proxyHost=corp -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4001 \
             -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4001 -Dhttp.nonProxyHosts=localhost \
             \"-Djavax.net.ssl.trustStore=/tmp/a b/trust.jks\" -Djavax.net.ssl.trustStoreType=jks \
             -Djavax.net.ssl.trustStorePassword=changeit"
        );
        assert!(options("").starts_with("-Dhttp.proxyHost"));
    }
}
