//! The names in a span, against the published registry of OpenTelemetry's semantic conventions.

use std::collections::{BTreeMap, BTreeSet};

use harness::artefacts::tool;
use harness::client::{Http, Request};
use harness::gateway::HOST;
use harness::provider::Tokens;
use harness::scenario::PLACEHOLDER;
use policy::genai;
use policy::provider::Provider as Kind;
use serde_json::{Value, json};

use super::told;

/// What stands in place of the key in the name of an attribute that is one for each key.
const KEY: &str = "<key>";

/// The registry as its package declares it: by constant, the name or value and what is said of it.
struct Registry(BTreeMap<String, (String, String)>);

impl Registry {
    fn read() -> Registry {
        let folder = tool("semconv/node_modules/@opentelemetry/semantic-conventions/dist");
        let mut constants = BTreeMap::new();
        for file in ["stable_attributes.d.cts", "experimental_attributes.d.cts"] {
            let text = std::fs::read_to_string(folder.join(file)).expect("the package");
            for declared in text.split("/**").skip(1) {
                let Some((comment, rest)) = declared.split_once("*/\ndeclare const ") else { continue };
                let (name, value) = rest.split_once(": ").expect("a type");
                let value = value.split_once(";\n").expect("an end").0;
                let value = match value {
                    // `(key: string) => string`: what it is prefixed with stands in the comments of those that do.
                    _ if value.starts_with('(') => template(name),
                    _ => value.trim_matches('"').to_owned(),
                };
                constants.insert(name.to_owned(), (value, comment.to_owned()));
            }
        }
        assert!(constants.len() > 1000, "{} constants", constants.len());
        Registry(constants)
    }

    /// What is said of an attribute.
    fn attribute(&self, name: &str) -> Option<&str> {
        let of_attributes = self.0.iter().filter(|(constant, _)| constant.starts_with("ATTR_"));
        let mut found = of_attributes.filter(|(_, (value, _))| match value.strip_suffix(KEY) {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => value == name,
        });
        found.next().map(|(_, (_, comment))| comment.as_str())
    }

    /// The values of an attribute that has only some.
    fn values(&self, attribute: &str) -> BTreeSet<&str> {
        let of = format!("for attribute {{@link ATTR_{}}}", constant(attribute));
        let values = self.0.values().filter(|(_, comment)| comment.contains(&of));
        values.filter(|(_, comment)| !is_replaced(comment)).map(|(value, _)| value.as_str()).collect()
    }
}

fn constant(attribute: &str) -> String {
    attribute.to_uppercase().replace('.', "_")
}

/// `ATTR_HTTP_REQUEST_HEADER` is `http.request.header.<key>`.
fn template(constant: &str) -> String {
    let name = constant.trim_start_matches("ATTR_").to_lowercase().replace('_', ".");
    format!("{name}.{KEY}")
}

/// All of `gen_ai` is marked as moved to a repository of its own, which is no reason not to use it.
fn is_replaced(comment: &str) -> bool {
    comment.contains("@deprecated") && !comment.contains("@deprecated Moved to")
}

/// The names of attributes anywhere in a span of a collector's.
fn names(value: &Value, into: &mut BTreeSet<String>) {
    if let Some(attributes) = value["attributes"].as_array() {
        into.extend(attributes.iter().filter_map(|attribute| attribute["key"].as_str().map(str::to_owned)));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|field| names(field, into)),
        Value::Array(items) => items.iter().for_each(|item| names(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn every_name_in_a_span_is_in_the_registry() {
    let (collector, provider, gateway) = told(", captureBody: {}").await;
    let tokens = Tokens { input: 40, cache_read: 20, cache_write: 10, of_tools: 0, output: 9, reasoning: 4 };
    provider.behave(|behaviour| behaviour.tokens = tokens);
    let request =
        Request::streamed_messages().header("x-api-key", PLACEHOLDER).path("/v1/messages?beta=true");
    assert_eq!(gateway.agent(Http::Two, HOST).send(&request).await.unwrap().status, 200);
    // One that is denied, too.
    let denied = Request::messages().path("/v1/files/%2e%2e/messages");
    let _ = gateway.agent(Http::Two, HOST).send(&denied).await;
    let mut seen = BTreeSet::new();
    collector.wait_for(2).await.iter().for_each(|span| names(span, &mut seen));
    seen.retain(|name| !name.starts_with("clrk.") && !name.starts_with("keyward."));
    for name in [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.request.stream",
        "gen_ai.response.model",
        "gen_ai.system",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "http.request.header.x-api-key",
        "http.request.method",
        "http.response.header.content-type",
        "http.response.status_code",
        "server.address",
        "server.port",
        "service.name",
        "url.path",
        "url.query",
        "url.scheme",
    ] {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
    let registry = Registry::read();
    for name in &seen {
        let said = registry.attribute(name).unwrap_or_else(|| panic!("{name} is not in the registry"));
        // The one that older collectors know.
        assert_eq!(is_replaced(said), name == "gen_ai.system", "{name}: {said}");
    }
    let system = registry.attribute("gen_ai.system").unwrap_or_default();
    assert!(system.contains("@deprecated Replaced by `gen_ai.provider.name`"), "{system}");
    for unknown in ["http.request.header.", "gen_ai.usage.cached_tokens", "http.request.heade.x"] {
        assert_eq!(registry.attribute(unknown), None);
    }
}

#[test]
fn every_value_of_a_provider_or_an_operation_is_in_the_registry() {
    let registry = Registry::read();
    let providers = registry.values("gen_ai.provider.name");
    let mut named = BTreeSet::new();
    for kind in Kind::ALL {
        for pattern in kind.hosts() {
            let host = pattern.replace('*', "one");
            let name = genai::provider_name(&host).unwrap_or_else(|| panic!("{host} has no name"));
            assert!(providers.contains(name), "{name} of {host} is not among {providers:?}");
            named.insert(name);
        }
    }
    let expected = ["anthropic", "aws.bedrock", "azure.ai.openai", "gcp.gemini", "gcp.vertex_ai", "openai"];
    assert_eq!(named, BTreeSet::from(expected));
    let operations = registry.values("gen_ai.operation.name");
    for (path, operation) in [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/v1beta/models/m:generateContent", "generate_content"),
    ] {
        assert_eq!(genai::operation(path.as_bytes()), Some(operation), "{path}");
        assert!(operations.contains(operation), "{operation} is not among {operations:?}");
    }
    assert_eq!(json!(operations).as_array().map(|all| all.contains(&json!("messages"))), Some(false));
}
