//! What a request asks of a model, by the names of OpenTelemetry's conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/>).

use crate::host::HostPattern;
use crate::provider::Provider;

/// `gen_ai.provider.name` of a host; `None`: it is no provider's.
#[must_use]
pub fn provider_name(host: &str) -> Option<&'static str> {
    let is_at = |pattern: &&str| HostPattern::parse(pattern).is_ok_and(|pattern| pattern.matches(host));
    match Provider::ALL.into_iter().find(|provider| provider.hosts().iter().any(is_at))? {
        Provider::Anthropic => Some("anthropic"),
        Provider::OpenAi => Some("openai"),
        Provider::Google if host.starts_with("generativelanguage.") => Some("gcp.gemini"),
        Provider::Google => Some("gcp.vertex_ai"),
        Provider::AzureOpenAi => Some("azure.ai.openai"),
        Provider::Bedrock => Some("aws.bedrock"),
        Provider::Custom => None,
    }
}

/// Ends of paths, with `gen_ai.operation.name` for each.
///
/// - OpenAI, and Azure behind its prefix: <https://developers.openai.com/api/reference/overview>
/// - Anthropic: <https://platform.claude.com/docs/en/api/messages>
/// - Google's custom methods: <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>
/// - Bedrock: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>.
///   What an invocation asks for depends on the model, so it has no name here.
const OPERATIONS: &[(&str, &str)] = &[
    ("/chat/completions", "chat"),
    ("/responses", "chat"),
    ("/messages", "chat"),
    ("/converse", "chat"),
    ("/converse-stream", "chat"),
    ("/completions", "text_completion"),
    ("/complete", "text_completion"),
    ("/embeddings", "embeddings"),
    (":embedContent", "embeddings"),
    (":batchEmbedContents", "embeddings"),
    (":generateContent", "generate_content"),
    (":streamGenerateContent", "generate_content"),
];

/// `gen_ai.operation.name` of a request with this path; `None`: it is none of those that are known.
#[must_use]
pub fn operation(path: &[u8]) -> Option<&'static str> {
    OPERATIONS.iter().find(|(end, _)| path.ends_with(end.as_bytes())).map(|(_, operation)| *operation)
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_providers_host_has_its_name() {
        for (host, name) in [
            ("api.anthropic.com", Some("anthropic")),
            ("eu.api.openai.com", Some("openai")),
            ("generativelanguage.googleapis.com", Some("gcp.gemini")),
            ("europe-west4-aiplatform.googleapis.com", Some("gcp.vertex_ai")),
            ("team.openai.azure.com", Some("azure.ai.openai")),
            ("bedrock-runtime.eu-west-1.amazonaws.com", Some("aws.bedrock")),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(super::provider_name(host), name, "{host}");
        }
    }

    #[test]
    fn a_path_says_what_is_asked_for() {
        for (path, operation) in [
            ("/v1/chat/completions", Some("chat")),
            ("/v1/completions", Some("text_completion")),
            ("/openai/deployments/gpt-5/chat/completions", Some("chat")),
            ("/anthropic/v1/messages", Some("chat")),
            ("/v1/messages/count_tokens", None),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", Some("generate_content")),
            ("/v1beta/models/gemini-embedding-001:embedContent", Some("embeddings")),
            ("/model/anthropic.claude-v2:1/converse-stream", Some("chat")),
            ("/model/anthropic.claude-v2:1/invoke", None),
            ("/", None),
        ] {
            assert_eq!(super::operation(path.as_bytes()), operation, "{path}");
        }
    }
}
