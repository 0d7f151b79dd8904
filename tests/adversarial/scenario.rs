//! What the operator of the proxy configured for a row, apart from any proxy's own language.

use harness::gateway::NAME;
use harness::objects;

/// The default: `api.anthropic.com` gets `x-api-key`, every other host is intercepted and gets nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scenario {
    /// Hosts that no rule names are refused.
    pub(crate) deny_all: bool,
    /// Hosts that no rule names pass untouched instead of being intercepted.
    pub(crate) others_pass: bool,
    /// `api.openai.com` gets a credential of its own.
    pub(crate) second_credential: bool,
    /// The Secret is not there.
    pub(crate) no_secret: bool,
    /// Lines for the spec of Keyward's gateway.
    pub(crate) lines: Vec<String>,
    /// Texts of Keyward's worked example, and what stands in their place.
    pub(crate) replaced: Vec<(String, String)>,
    /// Further manifests for Keyward: file name and text.
    pub(crate) manifests: Vec<(String, String)>,
    /// Keyward's module is the variant that aborts on a request with the header `x-keyward-trap`.
    pub(crate) trapping: bool,
    /// Rows change their gateway, so it is shared only by those that say this word.
    pub(crate) own: &'static str,
    /// Rows change their gateway for good, so each case has a fresh one.
    pub(crate) fresh: bool,
}

impl Scenario {
    pub(crate) fn deny_all(mut self) -> Scenario {
        self.deny_all = true;
        self
    }

    pub(crate) fn others_pass(mut self) -> Scenario {
        self.others_pass = true;
        self
    }

    pub(crate) fn second_credential(mut self) -> Scenario {
        self.second_credential = true;
        self
    }

    pub(crate) fn no_secret(mut self) -> Scenario {
        self.no_secret = true;
        self
    }

    /// Adds a line to the spec of Keyward's gateway, as `requestTimeout: 2s`.
    pub(crate) fn line(mut self, line: &str) -> Scenario {
        self.lines.push(line.into());
        self
    }

    /// Replaces a text of Keyward's worked example, which must have it.
    pub(crate) fn replace(mut self, old: &str, new: &str) -> Scenario {
        self.replaced.push((old.into(), new.into()));
        self
    }

    /// Runs the module that aborts on request.
    pub(crate) fn trapping(mut self) -> Scenario {
        self.trapping = true;
        self
    }

    /// Adds a manifest for Keyward.
    pub(crate) fn manifest(mut self, name: &str, text: &str) -> Scenario {
        self.manifests.push((name.into(), text.into()));
        self
    }

    /// Gives these hosts the key of the worked example too, by a route and a policy of this name.
    pub(crate) fn credentialed(self, name: &str, hosts: &[&str]) -> Scenario {
        let matches = format!("{{provider: custom, hosts: [{}]}}", hosts.join(", "));
        let objects = [
            objects::route(name, &[NAME], &matches),
            objects::policy(name, "anthropic-credentials", objects::EXAMPLE_KEY),
        ]
        .concat();
        self.manifest(&format!("{name}.yaml"), &objects)
    }

    /// Has a gateway that only rows use that say the same word: they change it, and change it back.
    pub(crate) fn own(mut self, name: &'static str) -> Scenario {
        self.own = name;
        self
    }

    /// Has a gateway for each case: it is changed for good.
    pub(crate) fn fresh(mut self) -> Scenario {
        self.fresh = true;
        self
    }

    /// Whether any proxy can be told to behave so: it is what `docs/adversarial.md` asks of it.
    pub(crate) fn is_default(&self) -> bool {
        Scenario { own: "", fresh: false, ..self.clone() } == Scenario::default()
    }
}
