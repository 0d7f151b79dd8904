//! What a request asks of a model, by the names of OpenTelemetry's conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/>).

use percent_encoding::percent_decode_str;

use crate::host::HostPattern;
use crate::provider::Provider;
use crate::usage::Asked;

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

/// Methods behind the name of a model, and whether each answers as a stream.
///
/// - Google's, of its own models and of others': <https://ai.google.dev/api/generate-content>,
///   <https://cloud.google.com/vertex-ai/docs/reference/rest>
const METHODS: &[(&str, bool)] = &[
    ("generateContent", false),
    ("streamGenerateContent", true),
    ("rawPredict", false),
    ("streamRawPredict", true),
    ("embedContent", false),
    ("batchEmbedContents", false),
    ("predict", false),
    ("countTokens", false),
];

/// Bedrock's operations on a model, and whether each answers as a stream.
const BEDROCK: &[(&str, bool)] = &[
    ("invoke", false),
    ("invoke-with-response-stream", true),
    ("converse", false),
    ("converse-stream", true),
    ("count-tokens", false),
];

/// What a request asks for: what its path says goes before what its body does, as with the providers.
#[must_use]
pub fn asked(path: &str, body: Asked) -> Asked {
    let Some((model, stream)) = in_path(path) else { return body };
    let model = percent_decode_str(model).decode_utf8().ok().map(|model| model.into_owned());
    // As of a body's: it would reach terminals.
    let model = model.filter(|model| !model.contains(char::is_control));
    Asked { model: model.or(body.model), stream: stream || body.stream }
}

/// The model that a path names, as it stands there, and whether it asks for a stream.
fn in_path(path: &str) -> Option<(&str, bool)> {
    let streams = |known: &[(&str, bool)], name: &str| {
        known.iter().find(|(operation, _)| *operation == name).map(|(_, stream)| *stream)
    };
    let (front, last) = path.rsplit_once('/')?;
    // <https://learn.microsoft.com/azure/ai-services/openai/reference>: there it is the name of a deployment.
    if let Some((_, deployment)) = path.split_once("/openai/deployments/") {
        return deployment.split_once('/').map(|(name, _)| (name, false));
    }
    if let (Some(model), Some(stream)) = (front.strip_prefix("/model/"), streams(BEDROCK, last)) {
        return (!model.contains('/')).then_some((model, stream));
    }
    let (model, method) = last.rsplit_once(':')?;
    let stream = streams(METHODS, method)?;
    (front.ends_with("/models") || front.ends_with("/tunedModels")).then_some((model, stream))
}

#[cfg(test)]
mod tests {
    use crate::usage::Asked;
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

    #[test]
    fn a_model_and_a_stream_are_asked_for_in_the_path_where_a_provider_has_them_there() {
        let asked = |model: Option<&str>, stream| Asked { model: model.map(str::to_owned), stream };
        for (path, expected) in [
            ("/v1/chat/completions", asked(Some("in-the-body"), false)),
            ("/openai/deployments/gpt-5/chat/completions", asked(Some("gpt-5"), false)),
            ("/openai/deployments/gpt-5", asked(Some("in-the-body"), false)),
            ("/v1beta/models/gemini-2.5-pro:generateContent", asked(Some("gemini-2.5-pro"), false)),
            ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", asked(Some("gemini-2.5-pro"), true)),
            ("/v1beta/tunedModels/mine:generateContent", asked(Some("mine"), false)),
            ("/v1/projects/p/locations/l/endpoints/7:generateContent", asked(Some("in-the-body"), false)),
            (
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-5@20260101:streamRawPredict",
                asked(Some("claude-opus-5@20260101"), true),
            ),
            ("/v1beta/models/gemini-2.5-pro", asked(Some("in-the-body"), false)),
            ("/model/anthropic.claude-v2%3A1/invoke", asked(Some("anthropic.claude-v2:1"), false)),
            ("/model/anthropic.claude-v2:1/converse-stream", asked(Some("anthropic.claude-v2:1"), true)),
            ("/model/a/invoke-with-response-stream", asked(Some("a"), true)),
            ("/model/%ff/converse-stream", asked(Some("in-the-body"), true)),
            ("/model/%1b%5b31mred/invoke", asked(Some("in-the-body"), false)),
            ("/model/a/b/invoke", asked(Some("in-the-body"), false)),
            ("/model/a/else", asked(Some("in-the-body"), false)),
            ("/", asked(Some("in-the-body"), false)),
            ("", asked(Some("in-the-body"), false)),
        ] {
            assert_eq!(super::asked(path, asked(Some("in-the-body"), false)), expected, "{path}");
        }
        assert_eq!(super::asked("/v1/messages", asked(None, true)), asked(None, true));
        assert!(super::asked("/openai/deployments/gpt-5/responses", asked(None, true)).stream);
    }
}
