use super::Provider;
use crate::host::HostPattern;
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

/// What a provider's own documents and clients name, besides what every provider loses.
const OWN: &[(Provider, &str, &[&str], &[&str])] = &[
    (Provider::Anthropic, "api.anthropic.com", &["x-api-key"], &[]),
    (Provider::OpenAi, "api.openai.com", &["openai-api-key"], &[]),
    (
        Provider::Google,
        "*-aiplatform.googleapis.com",
        &[
            "x-goog-api-key",
            "x-goog-iam-authority-selector",
            "x-goog-iam-authorization-token",
            "x-goog-user-project",
        ],
        &["$key", "$userproject", "bearer_token", "oauth_token", "userproject"],
    ),
    (
        Provider::AzureOpenAi,
        "*.openai.azure.com",
        &["api-key", "ocp-apim-subscription-key", "x-ms-authorization-auxiliary"],
        &["api-key", "authorization", "ocp-apim-subscription-key", "subscription-key"],
    ),
    (
        Provider::Bedrock,
        "bedrock-runtime.*.amazonaws.com",
        &["x-amz-date", "x-amz-region-set", "x-amz-s3session-token", "x-amz-security-token"],
        &[
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
    ),
];

#[test]
fn a_provider_has_its_hosts_and_its_own_carriers() {
    for (provider, host, headers, query) in OWN {
        assert!(provider.hosts().contains(host), "{provider:?}");
        assert!(headers.iter().all(|name| provider.header_carriers().contains(name)), "{provider:?}");
        assert!(query.iter().all(|name| provider.query_carriers().contains(name)), "{provider:?}");
        assert_eq!(Provider::parse(provider.as_str()), Some(*provider));
    }
    assert_eq!(Provider::Custom.as_str(), "custom");
    assert!(Provider::Custom.hosts().is_empty() && Provider::Custom.query_carriers().is_empty());
}

#[test]
fn every_provider_with_hosts_loses_the_usual_places_of_the_others() {
    for provider in Provider::ALL.into_iter().filter(|provider| !provider.hosts().is_empty()) {
        for name in ["api-key", "x-api-key", "x-goog-api-key"] {
            assert!(provider.header_carriers().contains(&name), "{provider:?} lets {name} pass");
        }
        for name in ["access_token", "api_key", "key"] {
            assert!(provider.query_carriers().contains(&name), "{provider:?} lets ?{name}= pass");
        }
    }
}

#[test]
fn a_key_among_the_subprotocols_is_a_carrier_and_the_header_that_holds_it_is_none() {
    for provider in Provider::ALL {
        let expected: &[_] = match provider {
            Provider::OpenAi | Provider::AzureOpenAi => {
                &[("sec-websocket-protocol", "openai-insecure-api-key.")]
            }
            _ => &[],
        };
        assert_eq!(provider.member_carriers(), expected, "{provider:?}");
        for (header, prefix) in provider.member_carriers() {
            assert!(!provider.header_carriers().contains(header), "{provider:?} loses all of {header}");
            assert_eq!((*header, *prefix), (&*header.to_lowercase(), &*prefix.to_lowercase()));
        }
    }
}

#[test]
fn what_belongs_to_a_request_and_proves_no_account_stays() {
    let names = [
        "anthropic-beta",
        "anthropic-version",
        "anthropic-workspace-id",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "x-amz-content-sha256",
        "x-amz-meta-a",
        "x-amz-target",
        "x-amzn-bedrock-guardrailidentifier",
        "x-amzn-bedrock-trace",
        "x-goog-api-client",
        "x-goog-quota-user",
        "x-goog-request-params",
        "x-ms-client-request-id",
    ];
    for provider in Provider::ALL {
        for name in names {
            assert!(!provider.header_carriers().contains(&name), "{provider:?} loses {name}");
        }
        for name in ["alt", "api-version", "deployment", "model", "quotauser"] {
            assert!(!provider.query_carriers().contains(&name), "{provider:?} loses ?{name}=");
        }
    }
}

#[test]
fn proxy_authorization_cookies_and_authorization_never_pass() {
    for provider in Provider::ALL {
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert!(provider.header_carriers().contains(&name), "{provider:?} lets {name} pass");
        }
    }
}

#[test]
fn the_hosts_that_the_vendors_list_match_and_their_neighbours_do_not() {
    for (provider, host, expected) in [
        (Provider::OpenAi, "api.openai.com", true),
        (Provider::OpenAi, "eu.api.openai.com", true),
        (Provider::OpenAi, "chat.openai.com", false),
        (Provider::OpenAi, "a.eu.api.openai.com", false),
        (Provider::OpenAi, "api.openai.com.example", false),
        (Provider::Google, "europe-west4-aiplatform.googleapis.com", true),
        (Provider::Google, "aiplatform.us.rep.googleapis.com", true),
        (Provider::Google, "storage.us.rep.googleapis.com", false),
        (Provider::Google, "storage.googleapis.com", false),
        (Provider::AzureOpenAi, "a.openai.azure.com", true),
        (Provider::AzureOpenAi, "a.b.openai.azure.com", false),
        (Provider::Bedrock, "bedrock-runtime.us-east-1.amazonaws.com", true),
        (Provider::Bedrock, "bedrock-runtime-fips.us-east-1.amazonaws.com", true),
        (Provider::Bedrock, "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com", true),
        (Provider::Bedrock, "bedrock.us-east-1.amazonaws.com", false),
        (Provider::Bedrock, "bedrock-mantle.us-east-1.api.aws", false),
    ] {
        let mut patterns = provider.hosts().iter().map(|pattern| HostPattern::parse(pattern).unwrap());
        assert_eq!(patterns.any(|pattern| pattern.matches(host)), expected, "{provider:?}: {host}");
    }
}
