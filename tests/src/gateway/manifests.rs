//! Manifests for tests: the worked example as it stands in `examples/`, pointed at a provider under test.

use std::path::Path;

use crate::artefacts::root;
use crate::objects;
use crate::provider::Provider;

/// The text of the worked example before which a test adds to its gateway.
const ANCHOR: &str = "  defaultPolicy: ";

/// Files of a manifest directory.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    files: Vec<(String, String)>,
    bundle: String,
    aliases: Vec<String>,
}

impl Manifests {
    /// No file at all.
    #[must_use]
    pub fn empty() -> Manifests {
        Manifests::default()
    }

    /// The worked example, with its host at this provider.
    #[must_use]
    pub fn example(provider: &Provider) -> Manifests {
        Manifests::worked_example().alias(&[super::HOST], provider)
    }

    /// The worked example as it stands, in `example.yaml`.
    #[must_use]
    pub fn worked_example() -> Manifests {
        let path = root().join("examples/anthropic/anthropic.yaml");
        let text = std::fs::read_to_string(path).expect("the worked example");
        assert!(text.contains(ANCHOR), "the worked example lost the line that tests add to");
        Manifests::empty().file("example.yaml", &text)
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Manifests {
        self.files.push((name.into(), text.into()));
        self
    }

    /// Says that hosts are at this provider, and that its CA is to be trusted.
    #[must_use]
    pub fn alias(self, hosts: &[&str], provider: &Provider) -> Manifests {
        self.alias_at(hosts, provider.address().port(), provider.ca())
    }

    /// Says that hosts are at this port of 127.0.0.1, and that this CA is to be trusted.
    #[must_use]
    pub fn alias_at(mut self, hosts: &[&str], port: u16, ca: &str) -> Manifests {
        self.aliases.push(format!("{{ip: 127.0.0.1, hostnames: [{}], port: {port}}}", hosts.join(", ")));
        self.bundle.push_str(ca);
        self
    }

    /// Replaces a text that must be there in every file that has it.
    #[must_use]
    #[track_caller]
    pub fn replace(mut self, old: &str, new: &str) -> Manifests {
        assert!(self.files.iter().any(|(_, text)| text.contains(old)), "no manifest has {old:?}");
        for (_, text) in &mut self.files {
            *text = text.replace(old, new);
        }
        self
    }

    /// Adds a line to the spec of the worked example's gateway, as `requestTimeout: 2s`.
    #[must_use]
    pub fn gateway_spec(self, line: &str) -> Manifests {
        self.replace(ANCHOR, &format!("  {line}\n{ANCHOR}"))
    }

    /// Refuses hosts that no route names.
    #[must_use]
    pub fn deny_all(self) -> Manifests {
        self.replace("defaultPolicy: allow-all", "defaultPolicy: deny-all")
    }

    /// The files as they will stand in the directory.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        if self.aliases.is_empty() {
            return self.files.clone();
        }
        let upstream = format!(
            "  upstreamTLS: {{additionalTrustBundleSecretRef: {{name: provider-ca}}, hostAliases: [{}]}}\n",
            self.aliases.join(", ")
        );
        let pointed = |text: &String| text.replacen(ANCHOR, &format!("{upstream}{ANCHOR}"), 1);
        let mut files: Vec<_> = self.files.iter().map(|(name, text)| (name.clone(), pointed(text))).collect();
        files.push(("provider-ca.yaml".into(), objects::secret("provider-ca", &[("ca.crt", &self.bundle)])));
        files
    }

    /// Writes them there. Panics where that cannot be.
    pub fn write_to(&self, folder: &Path) {
        for (name, text) in self.files() {
            write(folder, &name, &text);
        }
    }
}

/// Writes a file whole or not at all.
pub(super) fn write(folder: &Path, name: &str, text: &str) {
    let unfinished = folder.join(format!(".{name}.unfinished"));
    std::fs::write(&unfinished, text).expect("a manifest can be written");
    std::fs::rename(&unfinished, folder.join(name)).expect("a manifest can be renamed");
}

#[cfg(test)]
mod tests {
    use super::Manifests;
    use crate::provider::Provider;

    #[tokio::test]
    async fn the_worked_example_is_pointed_at_the_provider_and_otherwise_unchanged() {
        let provider = Provider::accepting("k").await.unwrap();
        let files = Manifests::example(&provider).gateway_spec("requestTimeout: 2s").files();
        let (name, text) = &files[0];
        assert_eq!(name, "example.yaml");
        let added = [
            "  requestTimeout: 2s\n".to_owned(),
            format!(
                "  upstreamTLS: {{additionalTrustBundleSecretRef: {{name: provider-ca}}, hostAliases: \
                 [{{ip: 127.0.0.1, hostnames: [api.anthropic.com], port: {}}}]}}\n",
                provider.address().port()
            ),
        ];
        let original = added.iter().fold(text.clone(), |text, line| text.replacen(line, "", 1));
        let path = crate::artefacts::root().join("examples/anthropic/anthropic.yaml");
        assert_eq!(original, std::fs::read_to_string(path).unwrap());
        assert!(files[1].1.contains("BEGIN CERTIFICATE"));
    }
}
