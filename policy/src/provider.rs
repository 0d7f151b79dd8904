//! The providers: their names, their hosts, and every place where a credential for them can travel.
//!
//! Hosts are patterns of [`crate::host::HostPattern`]: `*` stands for one or more characters of one label. Carriers
//! are stripped before anything is injected, so that an agent cannot use an account of its own. Names are lower-case;
//! each table is sorted.

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
    query: &'static [&'static str],
}

/// `authorization`: <https://platform.claude.com/docs/en/api/client-sdks> (`auth_token`, OAuth); `x-api-key`:
/// <https://platform.claude.com/docs/en/api/overview>. The other providers' headers are taken off as well, because a
/// compatibility endpoint (`/v1/chat/completions`) may accept them; `access_token` in the query is RFC 6750, 2.3.
const ANTHROPIC: Table = Table {
    names: &["anthropic"],
    hosts: &["api.anthropic.com"],
    headers: &["api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"],
    query: &["access_token", "api_key", "key"],
};

/// `authorization`: <https://developers.openai.com/api/reference/overview> (Authentication). `sec-websocket-protocol`:
/// a browser's Realtime connection puts the key there, as `openai-insecure-api-key.…`
/// (<https://developers.openai.com/api/docs/guides/realtime-websocket>).
const OPENAI: Table = Table {
    names: &["openai"],
    hosts: &["api.openai.com"],
    headers: &[
        "api-key",
        "authorization",
        "cookie",
        "openai-api-key",
        "proxy-authorization",
        "sec-websocket-protocol",
        "x-api-key",
        "x-goog-api-key",
    ],
    query: &["access_token", "api_key", "key"],
};

/// `x-goog-api-key`, `key`, `$key`, `access_token`, `oauth_token`, and `x-goog-user-project`, `$userProject` (whose
/// quota and bill it is): <https://cloud.google.com/apis/docs/system-parameters>, older revisions included;
/// `x-goog-iam-authorization-token` and its selector: the same page. Gemini API keys:
/// <https://ai.google.dev/gemini-api/docs/api-key>. Hosts of Vertex AI:
/// <https://cloud.google.com/vertex-ai/docs/reference/rest> (service endpoints).
const GOOGLE: Table = Table {
    names: &["google", "google_genai"],
    hosts: &["*-aiplatform.googleapis.com", "aiplatform.googleapis.com", "generativelanguage.googleapis.com"],
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
    query: &["$key", "$userproject", "access_token", "api_key", "key", "oauth_token", "userproject"],
};

/// `api-key` and `authorization`: <https://learn.microsoft.com/azure/ai-services/openai/reference> (Authentication);
/// `ocp-apim-subscription-key`: <https://learn.microsoft.com/azure/ai-services/authentication>; its query form
/// `subscription-key`: <https://learn.microsoft.com/azure/api-management/api-management-subscriptions>.
const AZURE_OPENAI: Table = Table {
    names: &["azure-openai", "azure_openai"],
    hosts: &["*.cognitiveservices.azure.com", "*.openai.azure.com", "*.services.ai.azure.com"],
    headers: &[
        "api-key",
        "authorization",
        "cookie",
        "ocp-apim-subscription-key",
        "proxy-authorization",
        "sec-websocket-protocol",
        "x-api-key",
        "x-goog-api-key",
    ],
    query: &["access_token", "api-key", "api_key", "key", "subscription-key"],
};

/// The headers and query names of Signature Version 4 and its multi-region and S3 Express forms:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html> and
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>. `authorization` also carries
/// Bedrock API keys: <https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html>. Hosts:
/// <https://docs.aws.amazon.com/general/latest/gr/bedrock.html> and
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/vpc-interface-endpoints.html>.
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
    query: &[
        "access_token",
        "api_key",
        "key",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ],
};

/// Of an unknown host only what HTTP itself calls a credential (RFC 9110, 11.6 and 11.7; RFC 6265): its own query
/// names may mean anything. The policy adds the names that it injects, `stripHeaders` and `stripQuery`.
const CUSTOM: Table = Table {
    names: &["custom"],
    hosts: &[],
    headers: &["authorization", "cookie", "proxy-authorization"],
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
mod tests {
    use super::Provider;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_provider_is_found_by_name_and_alias_in_any_case() {
        for (word, provider) in [
            ("anthropic", Some(Provider::Anthropic)),
            ("OpenAI", Some(Provider::OpenAi)),
            ("google_genai", Some(Provider::Google)),
            ("Azure_OpenAI", Some(Provider::AzureOpenAi)),
            ("azure-openai", Some(Provider::AzureOpenAi)),
            ("aws_bedrock", Some(Provider::Bedrock)),
            ("CUSTOM", Some(Provider::Custom)),
            ("antropic", None),
            ("", None),
        ] {
            assert_eq!(Provider::parse(word), provider, "{word}");
        }
    }

    #[test]
    fn every_table_is_lower_case_sorted_and_free_of_duplicates() {
        for provider in Provider::ALL {
            for table in [provider.hosts(), provider.header_carriers(), provider.query_carriers()] {
                assert!(table.is_sorted_by(|a, b| a < b), "{provider:?}: {table:?}");
                assert!(table.iter().all(|name| *name == name.to_lowercase()), "{provider:?}: {table:?}");
            }
        }
    }

    #[test]
    fn a_provider_has_its_name_its_hosts_and_its_carriers() {
        for (provider, name, host, header, query) in [
            (Provider::Anthropic, "anthropic", "api.anthropic.com", "x-api-key", "api_key"),
            (Provider::OpenAi, "openai", "api.openai.com", "sec-websocket-protocol", "access_token"),
            (Provider::Google, "google", "*-aiplatform.googleapis.com", "x-goog-user-project", "$key"),
            (Provider::AzureOpenAi, "azure-openai", "*.openai.azure.com", "api-key", "subscription-key"),
            (
                Provider::Bedrock,
                "bedrock",
                "bedrock-runtime.*.amazonaws.com",
                "x-amz-date",
                "x-amz-signature",
            ),
        ] {
            assert_eq!(provider.as_str(), name);
            assert_eq!(Provider::parse(name), Some(provider));
            assert!(provider.hosts().contains(&host), "{name}");
            assert!(provider.header_carriers().contains(&header), "{name}");
            assert!(provider.query_carriers().contains(&query), "{name}");
        }
        assert_eq!(Provider::Custom.as_str(), "custom");
        assert!(Provider::Custom.hosts().is_empty() && Provider::Custom.query_carriers().is_empty());
    }

    #[test]
    fn proxy_authorization_cookies_and_authorization_never_pass() {
        for provider in Provider::ALL {
            for name in ["authorization", "cookie", "proxy-authorization"] {
                assert!(provider.header_carriers().contains(&name), "{provider:?} lets {name} pass");
            }
        }
    }
}
