//! What is asked of each example.

use harness::client::Request;
use harness::examples::Example;
use serde_json::{Value, json};

/// An example, and requests to it.
pub(crate) struct Case {
    pub(crate) example: &'static str,
    /// Requests that get a credential.
    pub(crate) served: &'static [Served],
    /// Host and path of others: refused, or passed without one.
    pub(crate) others: &'static [(&'static str, &'static str)],
    /// Headers in which it alone puts credentials.
    pub(crate) places: &'static [&'static str],
    /// What `keyward secret set` changes: name and key of a Secret, and the variable that it was in.
    pub(crate) rotated: (&'static str, &'static str, &'static str),
}

/// A request that gets a credential.
pub(crate) struct Served {
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    /// The variables that its credential is made of.
    pub(crate) variables: &'static [&'static str],
}

const VERTEX: &str = "us-central1-aiplatform.googleapis.com";

pub(crate) const CASES: &[Case] = &[
    Case {
        example: "allow-list",
        served: &[Served {
            host: "api.anthropic.com",
            path: "/v1/messages",
            variables: &["ANTHROPIC_API_KEY"],
        }],
        others: &[("packages.example.com", "/simple/"), ("gist.githubusercontent.com", "/")],
        places: &[],
        rotated: ("anthropic-credentials", "api-key", "ANTHROPIC_API_KEY"),
    },
    Case {
        example: "anthropic",
        served: &[Served {
            host: "api.anthropic.com",
            path: "/v1/messages",
            variables: &["ANTHROPIC_API_KEY"],
        }],
        others: &[("api.anthropic.com", "/v1/files"), ("unlisted.example", "/")],
        places: &[],
        rotated: ("anthropic-credentials", "api-key", "ANTHROPIC_API_KEY"),
    },
    Case {
        example: "aws-s3",
        served: &[
            Served {
                host: "my-bucket.s3.eu-central-1.amazonaws.com",
                path: "/folder/a%20name.txt",
                variables: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            },
            Served {
                host: "s3.eu-central-1.amazonaws.com",
                path: "/my-bucket/folder/a%20name.txt",
                variables: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            },
        ],
        others: &[("another.s3.eu-central-1.amazonaws.com", "/folder/name.txt")],
        places: &[],
        rotated: ("s3", "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    },
    Case {
        example: "azure-openai",
        served: &[
            Served {
                host: "contoso.openai.azure.com",
                path: "/openai/v1/responses",
                variables: &["AZURE_OPENAI_API_KEY"],
            },
            Served {
                host: "fabrikam.openai.azure.com",
                path: "/openai/v1/responses",
                variables: &["AZURE_OPENAI_AD_TOKEN"],
            },
        ],
        others: &[("tailspin.openai.azure.com", "/openai/v1/responses")],
        places: &[],
        rotated: ("fabrikam", "token", "AZURE_OPENAI_AD_TOKEN"),
    },
    Case {
        example: "bedrock",
        served: &[
            Served {
                host: "bedrock-runtime.eu-central-1.amazonaws.com",
                path: "/model/anthropic.claude-test-v1%3A0/converse",
                variables: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            },
            Served {
                host: "bedrock-runtime.us-east-1.amazonaws.com",
                path: "/model/anthropic.claude-test-v1%3A0/invoke",
                variables: &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            },
        ],
        others: &[("bedrock-runtime.eu-central-1.amazonaws.com", "/guardrail/a/version/1/apply")],
        places: &[],
        rotated: ("bedrock", "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    },
    Case {
        example: "byok",
        served: &[
            Served { host: "acme.llm.example.com", path: "/v1/models", variables: &["ACME_KEY"] },
            Served { host: "globex.llm.example.com", path: "/v1/models", variables: &["GLOBEX_KEY"] },
            Served {
                host: "shared.llm.example.com",
                path: "/initech/v1/models",
                variables: &["INITECH_KEY"],
            },
            Served {
                host: "shared.llm.example.com",
                path: "/umbrella/v1/models",
                variables: &["UMBRELLA_KEY"],
            },
        ],
        others: &[("shared.llm.example.com", "/acme/v1/models"), ("initech.llm.example.com", "/v1/models")],
        places: &[],
        rotated: ("globex", "api-key", "GLOBEX_KEY"),
    },
    Case {
        example: "custom-two-headers",
        served: &[Served {
            host: "search.example.com",
            path: "/1/indexes",
            variables: &["SEARCH_APP_ID", "SEARCH_API_KEY"],
        }],
        others: &[("search.example.com", "/2/indexes")],
        places: &["x-search-application-id", "x-search-api-key"],
        rotated: ("search", "api-key", "SEARCH_API_KEY"),
    },
    Case {
        example: "git-basic",
        served: &[Served {
            host: "git.example.com",
            path: "/team/project.git/info/refs?service=git-upload-pack",
            variables: &["GIT_BASIC"],
        }],
        others: &[("gist.example.com", "/")],
        places: &[],
        rotated: ("git-credentials", "basic", "GIT_BASIC"),
    },
    Case {
        example: "google",
        served: &[
            Served {
                host: "generativelanguage.googleapis.com",
                path: "/v1beta/models/gemini-test:generateContent",
                variables: &["GEMINI_API_KEY"],
            },
            Served {
                host: "aiplatform.googleapis.com",
                path: "/v1/publishers/google/models/gemini-test:streamGenerateContent",
                variables: &["GEMINI_API_KEY"],
            },
        ],
        others: &[("generativelanguage.googleapis.com", "/v1beta/files")],
        places: &[],
        rotated: ("google-credentials", "api-key", "GEMINI_API_KEY"),
    },
    Case {
        example: "google-query",
        served: &[Served {
            host: "generativelanguage.googleapis.com",
            path: "/v1beta/models/gemini-test:generateContent?key=agents-own-7Jw2mPq9Xc4Vb6Nz1TfK&x=1",
            variables: &["GOOGLE_API_KEY"],
        }],
        others: &[("aiplatform.googleapis.com", "/v1beta/models")],
        places: &[],
        rotated: ("google-credentials", "api-key", "GOOGLE_API_KEY"),
    },
    Case {
        example: "many-hosts",
        served: &[
            Served { host: "llm.example.com", path: "/v1/models", variables: &["MODELS_API_KEY"] },
            Served { host: "europe.models.example.com", path: "/v1/models", variables: &["MODELS_API_KEY"] },
        ],
        others: &[("models.example.com", "/v1/models")],
        places: &[],
        rotated: ("models", "api-key", "MODELS_API_KEY"),
    },
    Case {
        example: "openai",
        served: &[
            Served { host: "api.openai.com", path: "/v1/responses", variables: &["OPENAI_API_KEY"] },
            Served { host: "api.openai.com", path: "/v1/chat/completions", variables: &["OPENAI_API_KEY"] },
        ],
        others: &[("api.openai.com", "/v1/files")],
        places: &[],
        rotated: ("openai-credentials", "api-key", "OPENAI_API_KEY"),
    },
    Case {
        example: "vertex-ai",
        served: &[Served {
            host: VERTEX,
            path: "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-test:generateContent",
            variables: &["KEY_FILE"],
        }],
        others: &[(VERTEX, "/v1/projects")],
        places: &[],
        rotated: ("vertex-ai-account", "key.json", "KEY_FILE"),
    },
];

/// A credential of the agent's own.
pub(crate) const OWN: &str = "agents-own-7Jw2mPq9Xc4Vb6Nz1TfK";

impl Case {
    pub(crate) fn example(&self) -> Example {
        Example::named(self.example)
    }

    /// Every host that is asked for.
    pub(crate) fn hosts(&self) -> Vec<&'static str> {
        let served = self.served.iter().map(|served| served.host);
        let mut hosts: Vec<_> = served.chain(self.others.iter().map(|(host, _)| *host)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// A request with credentials of the agent's own, which mentions `noted`: what an agent would send on that has seen
    /// it somewhere.
    pub(crate) fn request(&self, host: &str, path: &str, noted: &str, stream: bool) -> Request {
        let request = Request::new("POST", host, path).header("authorization", &format!("Bearer {OWN}"));
        let own = self.places.iter().fold(request, |request, name| request.header(name, OWN));
        own.header("x-note", noted).json(&body(noted, stream))
    }
}

fn body(noted: &str, stream: bool) -> Value {
    json!({"model": "test", "stream": stream, "input": format!("Say hello to {noted}.")})
}

#[test]
fn there_is_a_case_for_every_example_and_an_example_for_every_case() {
    let cases: Vec<_> = CASES.iter().map(|case| case.example).collect();
    assert_eq!(cases, Example::names());
}
