//! The examples as a reader uses them: the manifests of a folder, started with the secrets that its README names.

use std::path::PathBuf;

use crate::artefacts::root;
use crate::gateway::{Builder, Gateway, Manifests};
use crate::provider::{Options, Provider};

/// A folder under `examples` with manifests.
pub struct Example {
    name: String,
}

impl Example {
    /// The example of this name.
    #[must_use]
    pub fn named(name: &str) -> Example {
        Example { name: name.to_owned() }
    }

    /// The names of all examples, sorted.
    ///
    /// # Panics
    /// When the folder of the examples cannot be read.
    #[must_use]
    pub fn names() -> Vec<String> {
        let entries = std::fs::read_dir(root().join("examples")).expect("the examples");
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().expect("a name in UTF-8");
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.retain(|name| Example::named(name).manifest().exists());
        names.sort();
        names
    }

    fn folder(&self) -> PathBuf {
        root().join("examples").join(&self.name)
    }

    fn manifest(&self) -> PathBuf {
        self.folder().join(format!("{}.yaml", self.name))
    }

    /// The `--secret` flags of the command in its README.
    ///
    /// # Panics
    /// When the README has no such command.
    #[must_use]
    pub fn secret_flags(&self) -> Vec<String> {
        let readme = std::fs::read_to_string(self.folder().join("README.md")).expect("a README");
        let start = format!("keyward dev --manifests examples/{} ", self.name);
        let command = readme.lines().find_map(|line| line.split_once(&start)).map(|(_, flags)| flags);
        let command = command.unwrap_or_else(|| panic!("the README of {} does not start it", self.name));
        let words: Vec<_> = command.split_whitespace().collect();
        let flags = words.chunks(2).map(|pair| match pair {
            ["--secret", flag] => (*flag).to_owned(),
            other => panic!("the README of {} has {other:?} among its flags", self.name),
        });
        flags.collect()
    }

    /// The variables that its README takes secrets from.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.secret_flags().iter().map(|flag| variable(flag).to_owned()).collect()
    }

    /// The value that a test gives to a variable of the README: another one for each.
    #[must_use]
    pub fn value(variable: &str) -> String {
        format!("real-{}-4Zq0vJ8wT1mC7xYb3NfR", variable.to_lowercase())
    }

    /// A provider for these hosts that asks for no key of its own: what it got is for the test to judge.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn provider(hosts: &[&str]) -> Provider {
        let names = hosts.iter().map(ToString::to_string).collect();
        Provider::start(Options { names, ..Options::default() }).await.expect("a provider")
    }

    /// Its manifests, with these hosts at this provider.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn manifests(&self, hosts: &[&str], provider: &Provider) -> Manifests {
        let text = std::fs::read_to_string(self.manifest()).expect("the manifests of the example");
        let manifests = Manifests::empty().file("example.yaml", &text).alias(hosts, provider);
        let pointed = manifests.files().iter().any(|(_, text)| text.contains("hostAliases"));
        assert!(pointed, "the gateway of {} has no line that tests can add to", self.name);
        manifests
    }

    /// A gateway on such manifests, given the secrets that the README names.
    pub fn builder(&self, manifests: Manifests) -> Builder {
        let mut builder = Gateway::builder(manifests);
        for flag in self.secret_flags() {
            let variable = flag.split_once('=').map_or("", |(_, rest)| rest);
            let variable = variable.split(':').next().unwrap_or_default();
            builder =
                builder.arguments(&["--secret", &flag]).environment(variable, &Example::value(variable));
        }
        builder
    }

    /// The example, ready, in front of a provider for these hosts.
    pub async fn start(&self, hosts: &[&str]) -> (Provider, Gateway) {
        let provider = Example::provider(hosts).await;
        let gateway = self.builder(self.manifests(hosts, &provider)).start().await;
        (provider, gateway)
    }
}

/// The variable of `NAME=VARIABLE` or `NAME=VARIABLE:KEY`.
fn variable(flag: &str) -> &str {
    let source = flag.split_once('=').map_or("", |(_, source)| source);
    source.split_once(':').map_or(source, |(variable, _)| variable)
}
