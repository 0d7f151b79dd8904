//! Where requests and answers say what is of interest, in all the providers' formats at once: no two of them use one
//! place for different things, and many hosts speak another provider's format beside their own.

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The model.
    Model,
    /// Whether the answer is to be a stream.
    Stream,
    /// What kind of event it is.
    Kind,
    /// Tokens of the prompt.
    Input,
    /// Tokens of the prompt that [`Field::Input`] leaves out.
    InputToo,
    /// Tokens of the answer.
    Output,
    /// Tokens of reasoning, which [`Field::Output`] counts too.
    Reasoning,
    /// Tokens of reasoning, which [`Field::Output`] leaves out.
    ReasoningToo,
    /// Tokens of the prompt that were read from a cache, which [`Field::Input`] counts too.
    CacheRead,
    /// Tokens of the prompt that were read from a cache, which [`Field::Input`] leaves out.
    CacheReadToo,
    /// Tokens of the prompt that were written to a cache, which [`Field::Input`] counts too.
    CacheWrite,
    /// Tokens of the prompt that were written to a cache, which [`Field::Input`] leaves out.
    CacheWriteToo,
}

/// A path of keys, and what stands there.
type Row = (&'static [&'static str], Field);

/// Objects that hold, as the value of one of these keys, what is the whole text elsewhere: events of OpenAI's Responses
/// API (<https://developers.openai.com/api/reference/resources/responses/streaming-events>) and the first of Anthropic's
/// (<https://platform.claude.com/docs/en/build-with-claude/streaming>).
const WRAPPERS: &[&str] = &["message", "response"];

/// Of a request: OpenAI, Anthropic and those who speak their formats. Others have them in the path.
pub(super) static REQUEST: Places = Places(&[(&["model"], Field::Model), (&["stream"], Field::Stream)]);

/// Of an answer, or of one event of it.
///
/// - Anthropic, whose `input_tokens` leaves out what concerns the cache, and whose `output_tokens` counts thinking:
///   <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>,
///   <https://platform.claude.com/docs/en/api/messages>
/// - OpenAI, chat and Responses: <https://developers.openai.com/api/reference/resources/chat>,
///   <https://developers.openai.com/api/reference/resources/responses>; DeepSeek's `prompt_cache_hit_tokens`:
///   <https://api-docs.deepseek.com/guides/kv_cache>
/// - Google, where thoughts and the prompts of tools are counted apart from candidates and prompt:
///   <https://ai.google.dev/api/generate-content#UsageMetadata>
/// - Bedrock, Converse: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html>; the last
///   event of an invocation's stream: `amazon-bedrock-invocationMetrics`, as botocore's and LangChain's users see it
pub(super) static ANSWER: Places = Places(&[
    (&["type"], Field::Kind),
    (&["model"], Field::Model),
    (&["modelVersion"], Field::Model),
    (&["usage", "input_tokens"], Field::Input),
    (&["usage", "output_tokens"], Field::Output),
    (&["usage", "cache_read_input_tokens"], Field::CacheReadToo),
    (&["usage", "cache_creation_input_tokens"], Field::CacheWriteToo),
    (&["usage", "output_tokens_details", "thinking_tokens"], Field::Reasoning),
    (&["usage", "input_tokens_details", "cached_tokens"], Field::CacheRead),
    (&["usage", "input_tokens_details", "cache_write_tokens"], Field::CacheWrite),
    (&["usage", "output_tokens_details", "reasoning_tokens"], Field::Reasoning),
    (&["usage", "prompt_tokens"], Field::Input),
    (&["usage", "completion_tokens"], Field::Output),
    (&["usage", "prompt_tokens_details", "cached_tokens"], Field::CacheRead),
    (&["usage", "prompt_tokens_details", "cache_write_tokens"], Field::CacheWrite),
    (&["usage", "prompt_cache_hit_tokens"], Field::CacheRead),
    (&["usage", "completion_tokens_details", "reasoning_tokens"], Field::Reasoning),
    (&["usageMetadata", "promptTokenCount"], Field::Input),
    (&["usageMetadata", "toolUsePromptTokenCount"], Field::InputToo),
    (&["usageMetadata", "candidatesTokenCount"], Field::Output),
    (&["usageMetadata", "thoughtsTokenCount"], Field::ReasoningToo),
    (&["usageMetadata", "cachedContentTokenCount"], Field::CacheRead),
    (&["usage", "inputTokens"], Field::Input),
    (&["usage", "outputTokens"], Field::Output),
    (&["usage", "cacheReadInputTokens"], Field::CacheReadToo),
    (&["usage", "cacheWriteInputTokens"], Field::CacheWriteToo),
    (&["amazon-bedrock-invocationMetrics", "inputTokenCount"], Field::Input),
    (&["amazon-bedrock-invocationMetrics", "outputTokenCount"], Field::Output),
    (&["amazon-bedrock-invocationMetrics", "cacheReadInputTokenCount"], Field::CacheReadToo),
    (&["amazon-bedrock-invocationMetrics", "cacheWriteInputTokenCount"], Field::CacheWriteToo),
]);

/// Of an answer's head: Bedrock's for an invocation, whose body is whatever the model's maker wants it to be. As in its
/// bodies, the input leaves out what concerns the cache. Whose words these are:
/// <https://github.com/aws/aws-sdk-js-v3/issues/8172>, <https://github.com/langchain-ai/langchain/pull/19127>.
pub(super) static HEAD: &[(&str, Field)] = &[
    ("x-amzn-bedrock-input-token-count", Field::Input),
    ("x-amzn-bedrock-output-token-count", Field::Output),
    ("x-amzn-bedrock-cache-read-input-token-count", Field::CacheReadToo),
    ("x-amzn-bedrock-cache-write-input-token-count", Field::CacheWriteToo),
];

/// A table of places.
pub(super) struct Places(&'static [Row]);

/// Where something stands: how many keys led there, and the rows that begin with them, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    keys: usize,
    rows: u32,
}

impl Place {
    /// Of no interest.
    pub(super) const NOWHERE: Place = Place { keys: 1, rows: 0 };

    /// Where the elements of an array are that stands here. An array that is the whole text is a stream of texts
    /// (Google's answers where no `alt=sse` is asked for).
    pub(super) fn in_array(self) -> Place {
        if self.keys == 0 { self } else { Place::NOWHERE }
    }
}

impl Places {
    /// The whole text.
    pub(super) fn root(&self) -> Place {
        Place { keys: 0, rows: u32::MAX }
    }

    /// The value of this key of an object that stands here.
    pub(super) fn under(&self, object: Place, key: &[u8]) -> Place {
        if object.rows == 0 {
            return Place::NOWHERE;
        }
        if object.keys == 0 && WRAPPERS.iter().any(|wrapper| wrapper.as_bytes() == key) {
            return self.root();
        }
        let rows = self.0.iter().enumerate().filter(|(index, (path, _))| {
            object.rows >> index & 1 == 1 && path.get(object.keys).is_some_and(|name| name.as_bytes() == key)
        });
        Place { keys: object.keys + 1, rows: rows.fold(0, |rows, (index, _)| rows | 1 << index) }
    }

    /// What a value means that stands here.
    pub(super) fn at(&self, place: Place) -> Option<Field> {
        let rows = self.0.iter().enumerate();
        let mut here =
            rows.filter(|(index, (path, _))| place.rows >> index & 1 == 1 && path.len() == place.keys);
        here.next().map(|(_, (_, field))| *field)
    }
}
