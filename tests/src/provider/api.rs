//! Which API a request asks: what its path says, where its key stands, what is answered.

use serde_json::Value;

use super::log::Received;
use super::{Tokens, anthropic, google, openai};

/// An endpoint that only a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses, by whose rules for keys.
    Responses(Keys),
    /// OpenAI's Chat Completions, by whose rules for keys.
    Completions(Keys),
    /// OpenAI's Embeddings, by whose rules for keys.
    Embeddings(Keys),
    /// Google's `generateContent` and `streamGenerateContent`.
    Generate,
}

/// Whose rules say where a key stands in front of an endpoint that several providers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// As a bearer token.
    OpenAi,
    /// In `api-key`, or as a bearer token.
    Azure,
}

impl Api {
    /// The API behind a path; None where no key is asked for.
    pub(super) fn of(path: &str) -> Option<Api> {
        match path {
            "/v1/messages" | "/v1/complete" => Some(Api::Messages),
            "/v1/responses" => Some(Api::Responses(Keys::OpenAi)),
            "/v1/chat/completions" => Some(Api::Completions(Keys::OpenAi)),
            "/v1/embeddings" => Some(Api::Embeddings(Keys::OpenAi)),
            _ if path.starts_with("/openai/") && path.ends_with("/responses") => {
                Some(Api::Responses(Keys::Azure))
            }
            _ if path.starts_with("/openai/") && path.ends_with("/chat/completions") => {
                Some(Api::Completions(Keys::Azure))
            }
            _ if path.starts_with("/openai/") && path.ends_with("/embeddings") => {
                Some(Api::Embeddings(Keys::Azure))
            }
            _ if google::model(path).is_some() => Some(Api::Generate),
            _ => None,
        }
    }

    /// Everything in a request that this API takes for a key.
    pub(super) fn keys(self, request: &Received) -> Vec<String> {
        let header = |name| request.values(name).into_iter().map(str::to_owned);
        let bearer = || header("authorization").map(|value| value.replacen("Bearer ", "", 1));
        match self {
            Api::Messages => header("x-api-key").collect(),
            Api::Responses(keys) | Api::Completions(keys) | Api::Embeddings(keys) => match keys {
                Keys::OpenAi => bearer().collect(),
                Keys::Azure => header("api-key").chain(bearer()).collect(),
            },
            Api::Generate => {
                header("x-goog-api-key").chain(bearer()).chain(google::query_keys(&request.path)).collect()
            }
        }
    }

    /// Whether a request wants its answer as events.
    pub(super) fn is_streamed(self, path: &str, asked: &Value) -> bool {
        match self {
            Api::Generate => path.contains(":streamGenerateContent"),
            Api::Embeddings(_) => false,
            _ => asked["stream"] == true,
        }
    }

    /// The whole answer with this text.
    pub(super) fn message(self, asked: &Value, text: &str, tokens: Tokens) -> Value {
        match self {
            Api::Messages => anthropic::message(model(asked, "claude-test"), text, tokens),
            Api::Responses(_) => openai::response(model(asked, "gpt-test"), text, tokens),
            Api::Completions(_) => openai::completion(model(asked, "gpt-test"), text, tokens),
            Api::Embeddings(_) => {
                let as_base64 = asked["encoding_format"] == "base64";
                openai::embeddings(model(asked, "embedding-test"), tokens, as_base64)
            }
            Api::Generate => google::content(text, Some("STOP"), tokens),
        }
    }

    /// The events of a streamed answer with this many parts, in order.
    pub(super) fn events(self, asked: &Value, deltas: usize, tokens: Tokens) -> Vec<String> {
        match self {
            Api::Messages => anthropic::events(model(asked, "claude-test"), deltas, tokens),
            Api::Responses(_) => openai::response_events(model(asked, "gpt-test"), deltas, tokens),
            Api::Completions(_) => {
                let usage = (asked["stream_options"]["include_usage"] == true).then_some(tokens);
                openai::completion_events(model(asked, "gpt-test"), deltas, usage)
            }
            Api::Embeddings(_) => Vec::new(),
            Api::Generate => google::events(deltas, tokens),
        }
    }

    /// What is said to a request whose key is not the one.
    pub(super) fn refusal(self) -> Value {
        match self {
            Api::Messages => anthropic::error("authentication_error", "invalid x-api-key"),
            Api::Responses(_) | Api::Completions(_) | Api::Embeddings(_) => {
                openai::error("invalid_api_key", "Incorrect API key.")
            }
            Api::Generate => google::error(401, "UNAUTHENTICATED", "API key not valid."),
        }
    }

    /// What is said to a request that cannot be read.
    pub(super) fn complaint(self) -> Value {
        const WHAT: &str = "the body is not JSON";
        match self {
            Api::Messages => anthropic::error("invalid_request_error", WHAT),
            Api::Responses(_) | Api::Completions(_) | Api::Embeddings(_) => {
                openai::error("invalid_request_error", WHAT)
            }
            Api::Generate => google::error(400, "INVALID_ARGUMENT", WHAT),
        }
    }
}

fn model<'a>(asked: &'a Value, otherwise: &'a str) -> &'a str {
    asked["model"].as_str().unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use super::{Api, Keys};

    #[test]
    fn a_path_leads_to_the_api_that_its_provider_documents() {
        let google = "/v1beta/models/gemini-test:generateContent";
        let vertex = "/v1/projects/p/locations/l/publishers/google/models/gemini-test:streamGenerateContent";
        for (path, api) in [
            ("/v1/messages", Some(Api::Messages)),
            ("/v1/responses", Some(Api::Responses(Keys::OpenAi))),
            ("/openai/v1/responses", Some(Api::Responses(Keys::Azure))),
            ("/v1/embeddings", Some(Api::Embeddings(Keys::OpenAi))),
            ("/openai/deployments/embedding-test/embeddings", Some(Api::Embeddings(Keys::Azure))),
            ("/openai/deployments/gpt-test/chat/completions", Some(Api::Completions(Keys::Azure))),
            (google, Some(Api::Generate)),
            (vertex, Some(Api::Generate)),
            ("/v1beta/models/gemini-test", None),
            ("/v1/messages/count_tokens", None),
        ] {
            assert_eq!(Api::of(path), api, "{path}");
        }
    }
}
