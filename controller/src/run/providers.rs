//! The table of keys that `keyward run` knows: which variables hold them, and which hosts they are for.
//!
//! A row is here where the provider documents one variable and one host for it. Where two rows are for the same host,
//! the one that stands first wins. Deliberately absent:
//!
//! - `GH_TOKEN`, `GITHUB_TOKEN`: `gh` hands them on to git, which sends them to github.com inside Basic credentials. A
//!   placeholder would break `git push` without a word; who wants them kept writes manifests (`examples/git-basic`).
//! - `HF_TOKEN`: it is for the models of one host and the files of another, which redirects to several.
//! - `GOOGLE_APPLICATION_CREDENTIALS`: it names a file, whose key makes tokens (`examples/vertex-ai`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use hyper::Uri;
use policy::host::HostPattern;
use policy::provider::Provider;

/// Keys of one provider.
pub(super) struct Row {
    /// What its objects are called.
    pub(super) name: &'static str,
    /// The variables that make one credential; the first stands for it in messages.
    pub(super) parts: &'static [Part],
    /// The provider, as a route names it.
    pub(super) provider: Provider,
    /// The hosts of that provider; none means all of them.
    hosts: &'static [&'static str],
    /// Variables that send clients to another host, the first of which decides; then the key is for that host alone.
    endpoints: &'static [&'static str],
    /// A host that is meant too where the first of these variables that is set says so.
    besides: Option<(&'static [&'static str], &'static str)>,
    /// How the credential is put in.
    pub(super) fill: Fill,
    /// Whether clients of these hosts are given a placeholder here when the manifests have the key from elsewhere.
    pub(super) usual: bool,
}

/// A variable, and the key of the Secret that holds its value.
pub(super) struct Part {
    pub(super) variable: &'static str,
    pub(super) key: &'static str,
    pub(super) required: bool,
}

/// How a credential is put into a request.
pub(super) enum Fill {
    /// In this header, after this prefix.
    Header(&'static str, &'static str),
    /// As a signature.
    Aws,
}

const fn key(variable: &'static str) -> [Part; 1] {
    [Part { variable, key: "api-key", required: true }]
}

const BEARER: Fill = Fill::Header("authorization", "Bearer ");

/// A provider that takes OpenAI's `Authorization: Bearer` at one host.
const fn bearer(name: &'static str, parts: &'static [Part; 1], hosts: &'static [&'static str]) -> Row {
    Row {
        name,
        parts,
        provider: Provider::Custom,
        hosts,
        endpoints: &[],
        besides: None,
        fill: BEARER,
        usual: true,
    }
}

/// What variables and hosts rest on, by row. Where a repository is named, its client reads them so:
///
/// - `ANTHROPIC_AUTH_TOKEN`, which goes out as a bearer token, `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL`:
///   <https://code.claude.com/docs/en/env-vars>, <https://code.claude.com/docs/en/llm-gateway>
/// - `CODEX_API_KEY`, of `codex exec` alone: <https://developers.openai.com/codex/noninteractive>
/// - `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `AZURE_OPENAI_API_KEY`, `AZURE_OPENAI_ENDPOINT`:
///   <https://github.com/openai/openai-python>
/// - `GOOGLE_API_KEY`, which goes before `GEMINI_API_KEY`, `GOOGLE_GENAI_USE_ENTERPRISE`, which goes before
///   `GOOGLE_GENAI_USE_VERTEXAI`, `GOOGLE_GEMINI_BASE_URL`: <https://googleapis.github.io/python-genai>,
///   <https://github.com/googleapis/python-genai>
/// - `AWS_BEARER_TOKEN_BEDROCK`: <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html>; that it goes
///   before access keys: <https://github.com/boto/botocore>
/// - `MISTRAL_API_KEY`: <https://docs.mistral.ai/inference/quickstarts/send-your-first-request>,
///   <https://github.com/mistralai/client-python>
/// - `GROQ_API_KEY`, `GROQ_BASE_URL`: <https://github.com/groq/groq-python>
/// - `OPENROUTER_API_KEY`: <https://openrouter.ai/docs>
/// - `DEEPSEEK_API_KEY`: <https://api-docs.deepseek.com>
/// - `XAI_API_KEY`: <https://docs.x.ai/api>
/// - `TOGETHER_API_KEY`: <https://docs.together.ai/docs/api-keys-authentication>; its older host:
///   <https://github.com/togethercomputer/together-python>
/// - `FIREWORKS_API_KEY`: <https://docs.fireworks.ai/getting-started/quickstart>
/// - `CEREBRAS_API_KEY`: <https://inference-docs.cerebras.ai/api-reference>
/// - `PERPLEXITY_API_KEY`, `PERPLEXITY_BASE_URL`: <https://github.com/perplexityai/perplexity-py>
/// - `CO_API_KEY`, `CO_API_URL`: <https://github.com/cohere-ai/cohere-python>,
///   <https://docs.cohere.com/docs/create-client>
/// - `MOONSHOT_API_KEY`: <https://platform.kimi.ai/docs/api/quickstart>
/// - `AI_GATEWAY_API_KEY`: <https://vercel.com/docs/ai-gateway/agent-quickstart>
pub(super) const TABLE: &[Row] = &[
    Row {
        name: "anthropic-token",
        parts: &key("ANTHROPIC_AUTH_TOKEN"),
        provider: Provider::Anthropic,
        hosts: &[],
        endpoints: &["ANTHROPIC_BASE_URL"],
        besides: None,
        fill: BEARER,
        usual: false,
    },
    Row {
        name: "anthropic",
        parts: &key("ANTHROPIC_API_KEY"),
        provider: Provider::Anthropic,
        hosts: &[],
        endpoints: &["ANTHROPIC_BASE_URL"],
        besides: None,
        fill: Fill::Header("x-api-key", ""),
        usual: true,
    },
    Row {
        name: "codex",
        parts: &key("CODEX_API_KEY"),
        provider: Provider::OpenAi,
        hosts: &[],
        endpoints: &["OPENAI_BASE_URL"],
        besides: None,
        fill: BEARER,
        usual: false,
    },
    Row {
        name: "openai",
        parts: &key("OPENAI_API_KEY"),
        provider: Provider::OpenAi,
        hosts: &[],
        endpoints: &["OPENAI_BASE_URL"],
        besides: None,
        fill: BEARER,
        usual: true,
    },
    Row {
        name: "google",
        parts: &key("GOOGLE_API_KEY"),
        provider: Provider::Google,
        hosts: &["generativelanguage.googleapis.com"],
        endpoints: &["GOOGLE_GEMINI_BASE_URL"],
        besides: Some((
            &["GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"],
            "aiplatform.googleapis.com",
        )),
        fill: Fill::Header("x-goog-api-key", ""),
        usual: false,
    },
    Row {
        name: "gemini",
        parts: &key("GEMINI_API_KEY"),
        provider: Provider::Google,
        hosts: &["generativelanguage.googleapis.com"],
        endpoints: &["GOOGLE_GEMINI_BASE_URL"],
        besides: None,
        fill: Fill::Header("x-goog-api-key", ""),
        usual: true,
    },
    Row {
        name: "azure-openai",
        parts: &key("AZURE_OPENAI_API_KEY"),
        provider: Provider::AzureOpenAi,
        hosts: &[],
        endpoints: &["AZURE_OPENAI_ENDPOINT"],
        besides: None,
        fill: Fill::Header("api-key", ""),
        usual: true,
    },
    Row {
        name: "bedrock-token",
        parts: &key("AWS_BEARER_TOKEN_BEDROCK"),
        provider: Provider::Bedrock,
        hosts: &[],
        endpoints: &[],
        besides: None,
        fill: BEARER,
        usual: false,
    },
    Row {
        name: "bedrock",
        parts: &[
            Part { variable: "AWS_ACCESS_KEY_ID", key: "access_key_id", required: true },
            Part { variable: "AWS_SECRET_ACCESS_KEY", key: "secret_access_key", required: true },
            Part { variable: "AWS_SESSION_TOKEN", key: "session_token", required: false },
        ],
        provider: Provider::Bedrock,
        hosts: &[],
        endpoints: &[],
        besides: None,
        fill: Fill::Aws,
        usual: true,
    },
    bearer("mistral", &key("MISTRAL_API_KEY"), &["api.mistral.ai"]),
    Row { endpoints: &["GROQ_BASE_URL"], ..bearer("groq", &key("GROQ_API_KEY"), &["api.groq.com"]) },
    bearer("openrouter", &key("OPENROUTER_API_KEY"), &["openrouter.ai"]),
    bearer("deepseek", &key("DEEPSEEK_API_KEY"), &["api.deepseek.com"]),
    bearer("xai", &key("XAI_API_KEY"), &["api.x.ai"]),
    bearer("together", &key("TOGETHER_API_KEY"), &["api.together.ai", "api.together.xyz"]),
    bearer("fireworks", &key("FIREWORKS_API_KEY"), &["api.fireworks.ai"]),
    bearer("cerebras", &key("CEREBRAS_API_KEY"), &["api.cerebras.ai"]),
    Row {
        endpoints: &["PERPLEXITY_BASE_URL"],
        ..bearer("perplexity", &key("PERPLEXITY_API_KEY"), &["api.perplexity.ai"])
    },
    Row { endpoints: &["CO_API_URL"], ..bearer("cohere", &key("CO_API_KEY"), &["api.cohere.com"]) },
    bearer("moonshot", &key("MOONSHOT_API_KEY"), &["api.moonshot.ai"]),
    bearer("vercel", &key("AI_GATEWAY_API_KEY"), &["ai-gateway.vercel.sh"]),
];

/// Every variable that may hold a key.
pub(super) fn variables() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|row| row.parts).map(|part| part.variable)
}

/// The hosts that a key is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) provider: Provider,
    /// None means all of the provider's.
    pub(super) hosts: Vec<String>,
}

impl Place {
    /// The hosts as patterns.
    pub(super) fn patterns(&self) -> Vec<HostPattern> {
        let named = self.hosts.iter().map(String::as_str);
        let own = self.provider.hosts().iter().copied().filter(|_| self.hosts.is_empty());
        named.chain(own).filter_map(|host| HostPattern::parse(host).ok()).collect()
    }

    /// Whether some host is of both.
    pub(super) fn overlaps(&self, patterns: &[HostPattern]) -> bool {
        let meets = |a: &HostPattern, b: &HostPattern| a == b || is_of(a, b) || is_of(b, a);
        self.patterns().iter().any(|own| patterns.iter().any(|other| meets(own, other)))
    }
}

fn is_of(name: &HostPattern, pattern: &HostPattern) -> bool {
    name.exact().is_some_and(|name| pattern.matches(name))
}

impl Row {
    /// The variable that stands for the row.
    pub(super) fn variable(&self) -> &'static str {
        self.parts.first().map_or(self.name, |part| part.variable)
    }

    /// The hosts that its key is for, in this environment.
    ///
    /// # Errors
    /// Why it is for none.
    pub(super) fn place(&self, environment: &BTreeMap<OsString, OsString>) -> Result<Place, String> {
        let set = |name: &'static str| Some((name, environment.get(OsStr::new(name))?));
        let mut endpoints = self.endpoints.iter().copied().filter_map(set);
        let endpoint = endpoints.find(|(_, value)| !value.is_empty());
        if let Some((variable, value)) = endpoint {
            let host = value.to_str().ok_or("not UTF-8").and_then(host_of);
            return host.map(|host| self.place_of(host)).map_err(|why| format!("{variable} {why}"));
        }
        if self.provider == Provider::AzureOpenAi {
            return Err("AZURE_OPENAI_ENDPOINT, which says at which host it is good, is not set".to_owned());
        }
        let besides = self.besides.filter(|(variables, _)| {
            let value = variables.iter().find_map(|name| environment.get(OsStr::new(name)));
            value
                .and_then(|value| value.to_str())
                .is_some_and(|value| ["true", "1"].contains(&value.to_ascii_lowercase().as_str()))
        });
        let hosts = self.hosts.iter().copied().chain(besides.map(|(_, host)| host));
        Ok(Place { provider: self.provider, hosts: hosts.map(str::to_owned).collect() })
    }

    fn place_of(&self, host: String) -> Place {
        let own = self.provider.hosts().iter().filter_map(|own| HostPattern::parse(own).ok());
        let is_own = own.into_iter().any(|own| own.matches(&host));
        Place { provider: if is_own { self.provider } else { Provider::Custom }, hosts: vec![host] }
    }
}

/// The host of a base URL that a key can be put in for.
fn host_of(url: &str) -> Result<String, &'static str> {
    let url: Uri = url.trim().parse().map_err(|_| "is not a URL")?;
    let host = url.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if url.scheme_str() != Some("https") {
        return Err("is not an https URL, and a key is put in over nothing else");
    }
    if url.port_u16().is_some_and(|port| port != 443) {
        return Err(
            "names a port, and a key is put in at 443 alone; write manifests with an alias for that host",
        );
    }
    if HostPattern::parse(&host).is_err() || !host.contains('.') || host.contains('*') {
        return Err("names no host that a key can be put in for");
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn row(variable: &str) -> &'static Row {
        TABLE.iter().find(|row| row.variable() == variable).expect("a row")
    }

    fn place(variable: &str, set: &[(&str, &str)]) -> Result<(String, Vec<String>), String> {
        let environment = set.iter().map(|(name, value)| (name.into(), value.into())).collect();
        row(variable).place(&environment).map(|place| (place.provider.as_str().to_owned(), place.hosts))
    }

    fn at(provider: &str, hosts: &[&str]) -> Result<(String, Vec<String>), String> {
        Ok((provider.to_owned(), hosts.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn names_and_variables_are_unique_and_every_row_has_a_host() {
        let names: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), TABLE.len());
        let all: Vec<_> = variables().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for row in TABLE {
            assert!(row.parts[0].required, "{}", row.name);
            assert!(row.provider != Provider::Custom || !row.hosts.is_empty(), "{}", row.name);
            for host in row.hosts {
                assert!(HostPattern::parse(host).is_ok_and(|host| host.exact().is_some()), "{host}");
            }
        }
    }

    #[test]
    fn a_key_is_for_its_providers_hosts_or_for_the_host_of_its_base_url_alone() {
        let gateway = [("ANTHROPIC_BASE_URL", "https://llm.example.com/anthropic")];
        assert_eq!(place("ANTHROPIC_API_KEY", &[]), at("anthropic", &[]));
        assert_eq!(place("ANTHROPIC_API_KEY", &gateway), at("custom", &["llm.example.com"]));
        let eu = [("OPENAI_BASE_URL", "https://EU.api.openai.com:443/v1")];
        assert_eq!(place("OPENAI_API_KEY", &eu), at("openai", &["eu.api.openai.com"]));
        let gemini = "generativelanguage.googleapis.com";
        assert_eq!(place("GOOGLE_API_KEY", &[]), at("google", &[gemini]));
        let vertex = [("GOOGLE_GENAI_USE_VERTEXAI", "True")];
        assert_eq!(place("GOOGLE_API_KEY", &vertex), at("google", &[gemini, "aiplatform.googleapis.com"]));
        assert_eq!(place("GEMINI_API_KEY", &vertex), at("google", &[gemini]));
        let neither = [("GOOGLE_GENAI_USE_ENTERPRISE", "false"), vertex[0]];
        assert_eq!(place("GOOGLE_API_KEY", &neither), at("google", &[gemini]));
        let own = [("GROQ_BASE_URL", "https://groq.corp.example")];
        assert_eq!(place("GROQ_API_KEY", &[]), at("custom", &["api.groq.com"]));
        assert_eq!(place("GROQ_API_KEY", &own), at("custom", &["groq.corp.example"]));
        let azure = [("AZURE_OPENAI_ENDPOINT", "https://contoso.openai.azure.com/")];
        assert_eq!(place("AZURE_OPENAI_API_KEY", &azure), at("azure-openai", &["contoso.openai.azure.com"]));
    }

    #[test]
    fn a_key_that_is_for_no_host_says_why() {
        for (endpoint, why) in [
            ("http://localhost:11434/v1", "https"),
            ("https://llm.example.com:8443", "port"),
            ("https://10.0.0.7/v1", "no host"),
            ("https://localhost", "no host"),
            ("llm", "https"),
            ("https://a b", "not a URL"),
        ] {
            let said = place("OPENAI_API_KEY", &[("OPENAI_BASE_URL", endpoint)]).expect_err(endpoint);
            assert!(said.contains("OPENAI_BASE_URL") && said.contains(why), "{endpoint}: {said}");
        }
        let azure = place("AZURE_OPENAI_API_KEY", &[]).expect_err("no endpoint");
        assert!(azure.contains("AZURE_OPENAI_ENDPOINT"), "{azure}");
    }

    #[test]
    fn places_overlap_where_a_host_is_of_both() {
        let openai = row("OPENAI_API_KEY").place(&BTreeMap::new()).expect("a place");
        let pattern = |host: &str| [HostPattern::parse(host).expect("a pattern")];
        assert!(openai.overlaps(&pattern("eu.api.openai.com")));
        assert!(openai.overlaps(&pattern("*.api.openai.com")));
        assert!(!openai.overlaps(&pattern("openai.com")));
    }
}
