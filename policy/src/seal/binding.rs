//! What a sealed value is bound to: the rule, encoded so that no two rules share an encoding.
//!
//! Every field stands in a fixed order behind its length, lists behind their count, options behind a mark, so the
//! encoding is injective. A field that a later version adds changes [`VERSION`].

use thiserror::Error;

use crate::wire::{AgentSide, Carriers, Collector, Config, Injection, ModelSource, Models, Rule, Target};

/// The version of the encoding; part of it.
const VERSION: u8 = 2;

/// What stands in the place of the version where no rule is meant.
const KEPT: u8 = 0;

/// What stands there for a header of a collector.
const COLLECTOR: u8 = u8::MAX;

/// Bytes of most encodings, so that few of ten thousand grow while they are written.
const LIKELY_LENGTH: usize = 512;

/// The associated data of one injection of one rule, without format and key id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding(Vec<u8>);

impl Binding {
    /// What a value that is kept outside a configuration is sealed for: a key of a Secret. No rule's encoding starts
    /// with the same byte, so neither opens as the other.
    #[must_use]
    pub fn kept(namespace: &str, name: &str, key: &str) -> Binding {
        let mut encoded = Encoder(vec![KEPT]);
        encoded.text(namespace);
        encoded.text(name);
        encoded.text(key);
        Binding(encoded.0)
    }

    /// What a header for a collector of this gateway is sealed for: it goes nowhere else, and into no other header.
    #[must_use]
    pub fn of_collector(gateway: &str, collector: &Collector, header: &str) -> Binding {
        let mut encoded = Encoder(vec![COLLECTOR]);
        [gateway, &collector.cluster, &collector.authority, &collector.path, header]
            .into_iter()
            .for_each(|text| encoded.text(text));
        Binding(encoded.0)
    }

    /// The associated data under a format and a key.
    pub(super) fn under(&self, format: &str, key_id: &str) -> Vec<u8> {
        let mut encoded = Encoder(Vec::with_capacity(self.0.len() + 48));
        encoded.text(format);
        encoded.text(key_id);
        encoded.0.extend_from_slice(&self.0);
        encoded.0
    }

    /// The encoding itself, for the vectors.
    #[cfg(test)]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A rule names a table by an index that the configuration does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no such table: {0}")]
pub struct BindingError(pub &'static str);

impl Config {
    /// What `injection`, one of `rule`'s, is sealed for: gateway, agent side, and everything that says where the
    /// credential may go. Sealer and opener both call this.
    ///
    /// # Errors
    /// [`BindingError`] when the rule names a table that is not there.
    pub fn binding(&self, rule: &Rule, injection: &Injection) -> Result<Binding, BindingError> {
        let endpoints =
            rule.endpoints.map(|index| lookup(&self.endpoints, index, "endpoints")).transpose()?;
        let methods = rule.methods.map(|index| lookup(&self.methods, index, "methods")).transpose()?;
        let models = rule.models.map(|index| lookup(&self.models, index, "models")).transpose()?;
        let carriers = lookup(&self.carriers, rule.carriers, "carriers")?;
        let target = lookup(&self.targets, injection.target, "targets")?;
        let mut encoded = Encoder(Vec::with_capacity(LIKELY_LENGTH));
        encoded.0.push(VERSION);
        encoded.text(&self.gateway);
        encoded.text(&injection.policy);
        encoded.text(&rule.route);
        encoded.agent_side(&self.agent_side);
        encoded.list(&rule.hosts);
        encoded.ports(&rule.ports);
        encoded.optional_list(endpoints.map(Vec::as_slice));
        encoded.optional_list(methods.map(Vec::as_slice));
        encoded.models(models);
        encoded.target(target);
        encoded.carriers(carriers);
        encoded.0.shrink_to_fit();
        Ok(Binding(encoded.0))
    }
}

fn lookup<'a, T>(tables: &'a [T], index: u32, name: &'static str) -> Result<&'a T, BindingError> {
    usize::try_from(index).ok().and_then(|index| tables.get(index)).ok_or(BindingError(name))
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn length(&mut self, length: usize) {
        self.0.extend_from_slice(&(length as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list(&mut self, items: &[String]) {
        self.length(items.len());
        items.iter().for_each(|item| self.text(item));
    }

    fn optional_list(&mut self, items: Option<&[String]>) {
        self.0.push(u8::from(items.is_some()));
        if let Some(items) = items {
            self.list(items);
        }
    }

    fn ports(&mut self, ports: &[u16]) {
        self.length(ports.len());
        ports.iter().for_each(|port| self.0.extend_from_slice(&port.to_be_bytes()));
    }

    fn agent_side(&mut self, side: &AgentSide) {
        match side {
            AgentSide::Tls => self.text("tls"),
            AgentSide::TrustedPlaintext { clusters } => {
                self.text("trusted-plaintext");
                self.list(clusters);
            }
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Header { name, prefix } => {
                self.text("header");
                self.text(name);
                self.text(prefix);
            }
            Target::Query { name } => {
                self.text("query");
                self.text(name);
            }
            Target::AwsV4 { region, service } => {
                self.text("aws-v4");
                self.optional_list(region.as_ref().map(std::slice::from_ref));
                self.text(service);
            }
            Target::GoogleToken {} => self.text("google-token"),
            Target::GoogleJwt { scopes, audience } => {
                self.text("google-jwt");
                self.list(scopes);
                self.optional_list(audience.as_ref().map(std::slice::from_ref));
            }
        }
    }

    fn carriers(&mut self, carriers: &Carriers) {
        self.list(&carriers.headers);
        self.list(&carriers.query);
        self.length(carriers.members.len());
        for member in &carriers.members {
            self.text(&member.header);
            self.text(&member.prefix);
        }
    }

    fn models(&mut self, models: Option<&Models>) {
        self.0.push(u8::from(models.is_some()));
        if let Some(Models { source, globs }) = models {
            self.text(match source {
                ModelSource::Body => "body",
                ModelSource::Google => "google",
                ModelSource::Azure => "azure",
                ModelSource::Bedrock => "bedrock",
            });
            self.list(globs);
        }
    }
}
