//! The providers: their names, their hosts, and every place where a credential for them can travel.
//!
//! Hosts are patterns of [`crate::host::HostPattern`]: `*` stands for one or more characters of one label. Carriers
//! are stripped before anything is injected, so that an agent cannot use an account of its own. Names are lower-case;
//! each table is sorted. What each entry rests on stands above its table; where no page of the vendor's says it, the
//! vendor's own client does. Every provider but `custom` also loses the others' usual places (`api-key`, `x-api-key`,
//! `x-goog-api-key`, `?key=`, `?api_key=`), because many serve another's API beside their own; `?access_token=` is
//! RFC 6750, 2.3, and `cookie` and `proxy-authorization` are HTTP's.
//!
//! No carriers are the headers that choose among what *our* key may use: `anthropic-workspace-id`,
//! `openai-organization`, `openai-project`, Google's `x-goog-quota-user`. They name an account and prove none, so they
//! give an agent nothing that the injected key does not; and some keys are refused without them. Who wants one pinned
//! lists it in `stripHeaders`. `x-goog-user-project` is a carrier for all that: whoever owns a project can let our key
//! use it, without our doing, and a request would then be counted, logged and billed there. Bodies are not looked
//! into: only exchanges of tokens take a credential from one (Anthropic's `/v1/oauth/token`), and what they answer is of
//! no use where `authorization` is ours.

/// A provider that a route may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Anthropic.
    Anthropic,
    /// OpenAI.
    OpenAi,
    /// Google: Gemini API and Vertex AI.
    Google,
    /// Azure OpenAI and Azure AI Foundry.
    AzureOpenAi,
    /// Amazon Bedrock.
    Bedrock,
    /// Any other host, which the route names.
    Custom,
}

/// One provider's row.
struct Table {
    names: &'static [&'static str],
    hosts: &'static [&'static str],
    headers: &'static [&'static str],
    members: &'static [(&'static str, &'static str)],
    query: &'static [&'static str],
}

/// A browser cannot set headers of a WebSocket, so the key travels among the subprotocols that it offers.
const SUBPROTOCOL_KEY: (&str, &str) = ("sec-websocket-protocol", "openai-insecure-api-key.");

/// - `authorization` (API keys, tokens of workload identity federation):
///   <https://platform.claude.com/docs/manage-claude/authentication>
/// - `x-api-key`: <https://docs.anthropic.com/en/api/overview> (Authentication)
const ANTHROPIC: Table = Table {
    names: &["anthropic"],
    hosts: &["api.anthropic.com"],
    headers: &["api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"],
    members: &[],
    query: &["access_token", "api_key", "key"],
};

/// - `authorization`: <https://developers.openai.com/api/reference/overview> (Authentication)
/// - the subprotocol `openai-insecure-api-key.<key>`, with a key or an ephemeral `ek_…`:
///   <https://developers.openai.com/api/docs/guides/realtime-websocket>,
///   <https://github.com/openai/openai-node/blob/master/src/realtime/websocket.ts>
/// - hosts, with a prefix for each region: <https://developers.openai.com/api/docs/guides/data-residency>
/// - `openai-api-key`: no page says that OpenAI reads it; it is here because records redact it as a credential
const OPENAI: Table = Table {
    names: &["openai"],
    hosts: &["*.api.openai.com", "api.openai.com"],
    headers: &[
        "api-key",
        "authorization",
        "cookie",
        "openai-api-key",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
    ],
    members: &[SUBPROTOCOL_KEY],
    query: &["access_token", "api_key", "key"],
};

/// - `authorization`, `x-goog-api-key`, `key`, `$key`: <https://cloud.google.com/apis/docs/system-parameters>
/// - `access_token`, `oauth_token`: the same page, as of 2016; `bearer_token`: the discovery documents of 2017 and 2018
/// - `access_token` with an ephemeral token: <https://ai.google.dev/gemini-api/docs/ephemeral-tokens>,
///   <https://github.com/googleapis/js-genai/blob/main/src/live.ts>; the header form is `authorization: Token …`:
///   <https://github.com/googleapis/python-genai/blob/main/google/genai/live.py>
/// - `x-goog-user-project` and its query forms:
///   <https://docs.cloud.google.com/cpp/docs/reference/common/latest/structgoogle_1_1cloud_1_1UserProjectOption>
/// - `x-goog-iam-authority-selector`, `x-goog-iam-authorization-token`: the gcloud command sends them
///   (`googlecloudsdk/core/credentials/http.py`)
/// - hosts: <https://docs.cloud.google.com/gemini-enterprise-agent-platform/resources/locations>,
///   <https://ai.google.dev/api/live>
const GOOGLE: Table = Table {
    names: &["google", "google_genai"],
    hosts: &[
        "*-aiplatform.googleapis.com",
        "aiplatform.eu.rep.googleapis.com",
        "aiplatform.googleapis.com",
        "aiplatform.us.rep.googleapis.com",
        "generativelanguage.googleapis.com",
    ],
    headers: &[
        "api-key",
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
        "x-goog-iam-authority-selector",
        "x-goog-iam-authorization-token",
        "x-goog-user-project",
    ],
    members: &[],
    query: &[
        "$key",
        "$userproject",
        "access_token",
        "api_key",
        "bearer_token",
        "key",
        "oauth_token",
        "userproject",
    ],
};

/// - `api-key` and `authorization`: <https://learn.microsoft.com/azure/ai-foundry/openai/reference> (Authentication)
/// - `?api-key=`: <https://learn.microsoft.com/azure/foundry/openai/how-to/realtime-audio-websockets>; `?authorization=`,
///   for tokens: <https://github.com/openai/openai-node/blob/master/src/realtime/websocket.ts>; the subprotocol: for
///   OpenAI's clients at Azure's `/openai/v1`, which no page rules out
/// - `ocp-apim-subscription-key`: <https://learn.microsoft.com/azure/ai-services/authentication>; in the query, where
///   browsers put headers:
///   <https://github.com/microsoft/cognitive-services-speech-sdk-js/blob/master/src/common.browser/WebsocketConnection.ts>
/// - `?subscription-key=`: <https://learn.microsoft.com/azure/api-management/api-management-subscriptions>
/// - `x-api-key`, for Claude: <https://platform.claude.com/docs/build-with-claude/claude-in-microsoft-foundry>
/// - `x-ms-authorization-auxiliary`, further tokens, of Azure's management so far:
///   <https://learn.microsoft.com/azure/azure-resource-manager/management/authenticate-multi-tenant>
/// - hosts: <https://learn.microsoft.com/azure/foundry/foundry-models/concepts/endpoints>
const AZURE_OPENAI: Table = Table {
    names: &["azure-openai", "azure_openai"],
    hosts: &["*.cognitiveservices.azure.com", "*.openai.azure.com", "*.services.ai.azure.com"],
    headers: &[
        "api-key",
        "authorization",
        "cookie",
        "ocp-apim-subscription-key",
        "proxy-authorization",
        "x-api-key",
        "x-goog-api-key",
        "x-ms-authorization-auxiliary",
    ],
    members: &[SUBPROTOCOL_KEY],
    query: &[
        "access_token",
        "api-key",
        "api_key",
        "authorization",
        "key",
        "ocp-apim-subscription-key",
        "subscription-key",
    ],
};

/// - `authorization`, `x-amz-date`, `x-amz-security-token`:
///   <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>; `authorization` with
///   a Bedrock API key: <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html>
/// - the query names: <https://docs.aws.amazon.com/STS/latest/APIReference/CommonParameters.html>, `x-amz-expires`:
///   <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
/// - `x-amz-s3session-token`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateSession.html>;
///   `x-amz-region-set`: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html>;
///   in the query, the vendor's clients:
///   <https://github.com/smithy-lang/smithy-typescript/blob/main/packages/signature-v4/src/constants.ts>
/// - every other `x-amz-…` and `x-amzn-…` belongs to the request and is signed with it
/// - hosts: <https://docs.aws.amazon.com/general/latest/gr/bedrock.html>,
///   <https://docs.aws.amazon.com/bedrock/latest/userguide/vpc-interface-endpoints.html>. Not `bedrock-mantle.*.api.aws`
///   (<https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html>): a service of its own, with its own name in
///   signatures
const BEDROCK: Table = Table {
    names: &["bedrock", "aws_bedrock"],
    hosts: &[
        "*.bedrock-runtime.*.vpce.amazonaws.com",
        "bedrock-runtime-fips.*.amazonaws.com",
        "bedrock-runtime.*.amazonaws.com",
    ],
    headers: &[
        "api-key",
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-amz-date",
        "x-amz-region-set",
        "x-amz-s3session-token",
        "x-amz-security-token",
        "x-api-key",
        "x-goog-api-key",
    ],
    members: &[],
    query: &[
        "access_token",
        "api_key",
        "key",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-region-set",
        "x-amz-s3session-token",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ],
};

/// Of an unknown host only what HTTP itself calls a credential (RFC 9110, 11.6 and 11.7; RFC 6265): its own query
/// names may mean anything. The policy adds the names that it injects, `stripHeaders` and `stripQuery`. One to think of
/// there is Cloud Run's `x-serverless-authorization`, which counts before `authorization`:
/// <https://cloud.google.com/run/docs/authenticating/service-to-service>,
/// <https://github.com/GoogleCloudPlatform/cloud-run-proxy/pull/25>.
const CUSTOM: Table = Table {
    names: &["custom"],
    hosts: &[],
    headers: &["authorization", "cookie", "proxy-authorization"],
    members: &[],
    query: &[],
};

impl Provider {
    /// Every provider.
    pub const ALL: [Provider; 6] = [
        Provider::Anthropic,
        Provider::OpenAi,
        Provider::Google,
        Provider::AzureOpenAi,
        Provider::Bedrock,
        Provider::Custom,
    ];

    /// The provider that a manifest names, in any case, by name or alias.
    #[must_use]
    pub fn parse(word: &str) -> Option<Provider> {
        Provider::ALL
            .into_iter()
            .find(|provider| provider.table().names.iter().any(|name| name.eq_ignore_ascii_case(word)))
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.table().names.first().copied().unwrap_or_default()
    }

    /// Its hosts, as patterns; none for [`Provider::Custom`].
    #[must_use]
    pub fn hosts(self) -> &'static [&'static str] {
        self.table().hosts
    }

    /// Headers that may carry a credential for it.
    #[must_use]
    pub fn header_carriers(self) -> &'static [&'static str] {
        self.table().headers
    }

    /// Members of comma-separated headers that may carry a credential for it: the header, and how such a member begins,
    /// in lower case. The other members stay: a browser gives up a WebSocket of which the server selects no protocol.
    #[must_use]
    pub fn member_carriers(self) -> &'static [(&'static str, &'static str)] {
        self.table().members
    }

    /// Query parameters (decoded) that may carry a credential for it.
    #[must_use]
    pub fn query_carriers(self) -> &'static [&'static str] {
        self.table().query
    }

    const fn table(self) -> &'static Table {
        match self {
            Provider::Anthropic => &ANTHROPIC,
            Provider::OpenAi => &OPENAI,
            Provider::Google => &GOOGLE,
            Provider::AzureOpenAi => &AZURE_OPENAI,
            Provider::Bedrock => &BEDROCK,
            Provider::Custom => &CUSTOM,
        }
    }
}

#[cfg(test)]
mod tests;
