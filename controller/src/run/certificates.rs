//! The files by which clients trust the gateway's CA, and the variables that name them: one table.
//!
//! Where a variable replaces what a client trusts by default, its file holds the certificates that the variable named
//! before, or the system's, and ours. Where it adds, what it named before, and ours.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use x509_parser::pem::Pem;

use super::java;

/// What the file of a variable means to its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// These and no others.
    Replaces,
    /// These too.
    Adds,
}

/// Each variable and what its file means; beside it who reads it.
const VARIABLES: &[(&str, Trust)] = &[
    ("AWS_CA_BUNDLE", Trust::Replaces),      // the AWS command line and SDKs
    ("BUNDLE_SSL_CA_CERT", Trust::Replaces), // Bundler
    ("CARGO_HTTP_CAINFO", Trust::Replaces),  // Cargo
    ("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Trust::Replaces), // gcloud
    ("CODEX_CA_CERTIFICATE", Trust::Replaces), // Codex
    ("CURL_CA_BUNDLE", Trust::Replaces),     // curl, requests
    ("DENO_CERT", Trust::Adds),              // Deno
    ("GIT_SSL_CAINFO", Trust::Replaces),     // git
    ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Trust::Replaces), // gRPC
    ("HEX_CACERTS_PATH", Trust::Replaces),   // Hex of Elixir and Erlang
    ("HTTPLIB2_CA_CERTS", Trust::Replaces),  // httplib2
    ("JULIA_SSL_CA_ROOTS_PATH", Trust::Replaces), // Julia
    ("NIX_SSL_CERT_FILE", Trust::Replaces),  // Nix and what it builds
    ("NODE_EXTRA_CA_CERTS", Trust::Adds),    // Node, Bun, Electron
    ("NPM_CONFIG_CAFILE", Trust::Replaces),  // npm, pnpm
    ("PERL_LWP_SSL_CA_FILE", Trust::Replaces), // LWP of Perl
    ("PIP_CERT", Trust::Replaces),           // pip
    ("REQUESTS_CA_BUNDLE", Trust::Replaces), // requests
    ("SSL_CERT_FILE", Trust::Replaces),      // OpenSSL, Python, Go, Ruby, rustls, uv, httpx
    ("YARN_HTTPS_CA_FILE_PATH", Trust::Replaces), // Yarn
];

/// What the variables are to be, and what is to be said.
pub(super) struct Written {
    /// Variables and the paths of their files.
    pub(super) variables: BTreeMap<OsString, PathBuf>,
    /// What wget reads in place of `~/.wgetrc`: no variable of its own names certificates.
    pub(super) wget: PathBuf,
    /// The trust store for Java.
    pub(super) java: PathBuf,
    /// Files that could not be taken over.
    pub(super) notes: Vec<String>,
}

/// Writes the files into a directory. `ours` and `system` are PEM; `environment` is the user's.
///
/// # Errors
/// The directory cannot be written to.
pub(super) fn write(
    directory: &Path,
    ours: &str,
    system: &str,
    environment: &BTreeMap<OsString, OsString>,
) -> io::Result<Written> {
    let whole = directory.join("ca-bundle.pem");
    fs::write(&whole, joined(system, ours))?;
    let alone = directory.join("ca.pem");
    fs::write(&alone, ours)?;
    let java = directory.join("trust.jks");
    fs::write(&java, java::trust_store(&der(&joined(system, ours))))?;
    let wget = directory.join("wgetrc");
    fs::write(&wget, wgetrc(environment, &whole))?;
    let mut written = Written { variables: BTreeMap::new(), wget, java, notes: Vec::new() };
    for (variable, trust) in VARIABLES {
        let default = if *trust == Trust::Replaces { &whole } else { &alone };
        let mut names = [*variable].into_iter().chain(instead(variable).iter().copied());
        let named = names.find_map(|name| value(environment, name));
        let path = match named.map(|path| certificates_of(Path::new(path))) {
            None => default.clone(),
            Some(Ok(before)) => {
                let path = directory.join(format!("{variable}.pem"));
                fs::write(&path, joined(&before, ours))?;
                path
            }
            Some(Err(why)) => {
                written
                    .notes
                    .push(format!("the certificates that {variable} names are not taken over: {why}"));
                default.clone()
            }
        };
        // In another case too, for npm.
        let same = environment.keys().filter(|name| name.eq_ignore_ascii_case(variable));
        written.variables.extend(same.map(|name| (name.clone(), path.clone())));
        written.variables.insert(variable.into(), path);
    }
    Ok(written)
}

/// What a variable is set to. npm reads its own in any case.
fn value<'a>(environment: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a OsString> {
    let is_it = |other: &OsStr| other == name || name.starts_with("NPM_") && other.eq_ignore_ascii_case(name);
    let mut set = environment.iter().filter(|(other, path)| is_it(other) && !path.is_empty());
    set.next().map(|(_, path)| path)
}

/// Variables whose certificates count where this one names none: its clients read them then, and do no longer once we have
/// set it. `requests` reads curl's; pip, which has `requests` inside, its own.
fn instead(variable: &str) -> &'static [&'static str] {
    if variable == "REQUESTS_CA_BUNDLE" { &["CURL_CA_BUNDLE", "PIP_CERT"] } else { &[] }
}

/// The user's file, and our certificates after it: the last of several values holds.
fn wgetrc(environment: &BTreeMap<OsString, OsString>, bundle: &Path) -> Vec<u8> {
    let home = || Some(PathBuf::from(environment.get(OsStr::new("HOME"))?).join(".wgetrc"));
    let own = environment.get(OsStr::new("WGETRC")).map(PathBuf::from).or_else(home);
    let mut text = own.and_then(|path| fs::read(path).ok()).unwrap_or_default();
    text.extend(b"\nca_certificate = ");
    text.extend(bundle.as_os_str().as_encoded_bytes());
    text.push(b'\n');
    text
}

fn certificates_of(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.contains("-----BEGIN ") { Ok(text) } else { Err("no certificate in PEM is there".to_owned()) }
}

fn joined(before: &str, ours: &str) -> String {
    format!("{}\n{ours}", before.trim_end())
}

/// The certificates of a bundle. What is no certificate is left out, as OpenSSL does.
fn der(bundle: &str) -> Vec<Vec<u8>> {
    let blocks = Pem::iter_from_buffer(bundle.as_bytes()).filter_map(Result::ok);
    blocks
        .filter(|pem| pem.label == "CERTIFICATE" && pem.parse_x509().is_ok())
        .map(|pem| pem.contents)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use time::OffsetDateTime;

    use super::*;
    use crate::certificates::Authority;

    fn authority(name: &str) -> String {
        Authority::create(name, OffsetDateTime::now_utc()).expect("an authority").0.certificate().to_owned()
    }

    fn read(written: &Written, variable: &str) -> String {
        fs::read_to_string(&written.variables[OsStr::new(variable)]).expect("a file")
    }

    #[test]
    fn what_a_variable_named_before_or_the_systems_stands_beside_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = folder.path().join("before.pem");
        fs::write(&before, "-----BEGIN CERTIFICATE-----\nbefore\n-----END CERTIFICATE-----")
            .expect("written");
        let named = |variable: &str| (OsString::from(variable), before.clone().into_os_string());
        let environment =
            [named("REQUESTS_CA_BUNDLE"), named("NODE_EXTRA_CA_CERTS"), named("npm_config_cafile")].into();
        let in_any_case = ["NPM_CONFIG_CAFILE", "npm_config_cafile"];
        let written = write(folder.path(), "ours\n", "system\n", &environment).expect("written");
        assert_eq!(read(&written, "SSL_CERT_FILE"), "system\nours\n");
        assert_eq!(read(&written, "DENO_CERT"), "ours\n");
        for variable in ["REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"].into_iter().chain(in_any_case) {
            let text = read(&written, variable);
            assert!(text.contains("before\n") && text.ends_with("-----\nours\n"), "{variable}: {text}");
        }
        assert!(written.notes.is_empty());
    }

    #[test]
    fn what_pip_or_curl_trusts_is_trusted_where_requests_reads_another_variable_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| {
            let path = folder.path().join(name);
            let text = format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----");
            fs::write(&path, text).expect("written");
            path.into_os_string()
        };
        let (pip, curl) = (("PIP_CERT".into(), file("pip")), ("CURL_CA_BUNDLE".into(), file("curl")));
        for (environment, expected) in [
            (BTreeMap::from([pip.clone()]), "\npip\n"),
            (BTreeMap::from([pip.clone(), curl.clone()]), "\ncurl\n"),
            (BTreeMap::from([pip, curl, ("REQUESTS_CA_BUNDLE".into(), file("own"))]), "\nown\n"),
        ] {
            let written = write(folder.path(), "ours\n", "system\n", &environment).expect("written");
            let text = read(&written, "REQUESTS_CA_BUNDLE");
            assert!(text.contains(expected) && text.ends_with("ours\n"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_taken_over_is_said_and_the_systems_stand_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = [("AWS_CA_BUNDLE".into(), folder.path().into())].into();
        let written = write(folder.path(), "ours\n", "system\n", &environment).expect("written");
        assert_eq!(read(&written, "AWS_CA_BUNDLE"), "system\nours\n");
        assert!(written.notes[0].contains("AWS_CA_BUNDLE"), "{:?}", written.notes);
    }

    #[test]
    fn variables_are_sorted_and_unique() {
        assert!(VARIABLES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn java_reads_the_trust_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let system = authority("one") + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let written = write(folder.path(), &authority("two"), &system, &BTreeMap::new()).expect("written");
        let mut keytool = Command::new("keytool");
        keytool
            .args(["-list", "-storetype", "jks", "-storepass", "changeit", "-keystore"])
            .arg(&written.java);
        let output = keytool.output().expect("keytool of a JDK");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("2 entries"), "{text}");
    }
}
