//! Unmodified client software as an agent: told of proxy, CA and placeholder by its environment alone.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::artefacts::{root, tool};
use crate::gateway::Ready;
use crate::process::Process;
use crate::provider::aws::REGION;
use crate::scenario::PLACEHOLDER;

/// How long a client may take to start and answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client program that is told its mode: `plain`, `streamed`, or what else its script knows.
pub struct Software {
    /// Its name in messages.
    pub name: &'static str,
    command: fn() -> Command,
}

/// curl; it speaks HTTP/2.
pub const CURL: Software = Software { name: "curl", command: || script("sh", "curl.sh") };

/// Every client of Anthropic that the set-up installs.
pub const ALL: &[Software] = &[
    CURL,
    Software { name: "curl over HTTP/1.1", command: curl_1 },
    Software { name: "anthropic 1 for Python", command: || python("anthropic-1", "anthropic_sdk.py") },
    Software { name: "anthropic 2 for Python", command: || python("anthropic-2", "anthropic_sdk.py") },
    Software { name: "@anthropic-ai/sdk on Node 24", command: || node("anthropic_sdk.cjs") },
    Software { name: "anthropic-sdk-go", command: || go("anthropic") },
];

/// Every client of OpenAI's Responses.
pub const OPENAI_RESPONSES: &[Software] = &[
    Software { name: "openai for Python, Responses", command: || openai_python(&["openai", "responses"]) },
    Software { name: "openai on Node 24, Responses", command: || openai_node(&["openai", "responses"]) },
    Software { name: "openai-go, Responses", command: || go("openai-responses") },
];

/// Every client of OpenAI's Chat Completions.
pub const OPENAI_CHAT: &[Software] = &[
    Software { name: "openai for Python, Chat Completions", command: || openai_python(&["openai", "chat"]) },
    Software { name: "openai on Node 24, Chat Completions", command: || openai_node(&["openai", "chat"]) },
    Software { name: "openai-go, Chat Completions", command: || go("openai-chat") },
];

/// Every client of Azure OpenAI that sends a key.
pub const AZURE_KEY: &[Software] = &[
    Software {
        name: "openai for Python, Azure with a key",
        command: || azure(openai_python(&["azure", "chat"]), "contoso", "AZURE_OPENAI_API_KEY"),
    },
    Software {
        name: "openai on Node 24, Azure with a key",
        command: || azure(openai_node(&["azure", "chat"]), "contoso", "AZURE_OPENAI_API_KEY"),
    },
];

/// Every client of Azure OpenAI that sends a token of Entra ID, or a key where only a token is taken.
pub const AZURE_TOKEN: &[Software] = &[
    Software {
        name: "openai for Python, Azure with a token",
        command: || azure(openai_python(&["azure", "chat"]), "fabrikam", "AZURE_OPENAI_AD_TOKEN"),
    },
    Software {
        name: "openai on Node 24, Azure with a key where a token is taken",
        command: || azure(openai_node(&["azure", "chat"]), "fabrikam", "AZURE_OPENAI_API_KEY"),
    },
];

/// Every client of Google's Gemini API.
pub const GEMINI: &[Software] = &[
    Software { name: "google-genai for Python", command: || python("python-sdks", "google_sdk.py") },
    Software { name: "@google/genai on Node 24", command: || node("google_sdk.cjs") },
];

/// Every client of Google's Vertex AI in express mode, which takes a key.
pub const VERTEX: &[Software] = &[
    Software {
        name: "google-genai for Python, Vertex AI",
        command: || vertex(python("python-sdks", "google_sdk.py")),
    },
    Software { name: "@google/genai on Node 24, Vertex AI", command: || vertex(node("google_sdk.cjs")) },
];

/// Every client of Amazon S3, and what else than `put-get` each can be told.
pub const S3: &[(Software, &[&str])] = &[
    (
        Software { name: "boto3, S3", command: || aws(python("python-sdks", "aws_sdk.py"), &["s3"]) },
        &["put-get-by-path", "put-get-hashed", "multipart", "presigned"],
    ),
    (Software { name: "@aws-sdk/client-s3 on Node 24", command: || aws(node("aws_sdk.cjs"), &["s3"]) }, &[]),
    (Software { name: "aws-sdk-go-v2, S3", command: || aws(go("s3"), &[]) }, &[]),
];

/// Every client of Amazon Bedrock, which is told `invoke`, `converse`, or one of these with `-streamed` behind it.
pub const BEDROCK: &[Software] = &[
    Software { name: "boto3, Bedrock", command: || aws(python("python-sdks", "aws_sdk.py"), &["bedrock"]) },
    Software {
        name: "@aws-sdk/client-bedrock-runtime on Node 24",
        command: || aws(node("aws_sdk.cjs"), &["bedrock"]),
    },
    Software { name: "aws-sdk-go-v2, Bedrock", command: || aws(go("bedrock"), &[]) },
];

/// Every client of AWS STS, which is told `identity`.
pub const STS: &[Software] = &[
    Software { name: "boto3, STS", command: || aws(python("python-sdks", "aws_sdk.py"), &["sts"]) },
    Software { name: "aws-sdk-go-v2, STS", command: || aws(go("sts"), &[]) },
];

/// A client of Amazon DynamoDB, which is told `put-get`.
pub const DYNAMODB: Software =
    Software { name: "boto3, DynamoDB", command: || aws(python("python-sdks", "aws_sdk.py"), &["dynamodb"]) };

/// git, which is told `clone` or `push`.
pub const GIT: Software = Software { name: "git", command: || script("sh", "git.sh") };

/// Where the programs look for the CA that they are to trust: each of them reads one or two of these.
const CA_VARIABLES: &[&str] =
    &["SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO"];

/// What stands for a key in every client's environment.
const PLACEHOLDERS: &[&str] = &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"];

fn script(interpreter: impl AsRef<std::ffi::OsStr>, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(root().join("tests/clients").join(name));
    command
}

fn curl_1() -> Command {
    let mut command = script("sh", "curl.sh");
    command.env("CURL_OPTIONS", "--http1.1");
    command
}

fn python(environment: &str, name: &str) -> Command {
    script(tool(&format!("{environment}/bin/python")), name)
}

fn node(name: &str) -> Command {
    let mut command = script(tool("node/bin/node"), name);
    command.env("NODE_PATH", tool("node/node_modules")).env("NODE_USE_ENV_PROXY", "1");
    command
}

fn go(client: &str) -> Command {
    let mut command = Command::new(tool("bin/go-clients"));
    command.arg(client);
    command
}

fn openai_python(words: &[&str]) -> Command {
    let mut command = python("python-sdks", "openai_sdk.py");
    command.args(words);
    command
}

fn openai_node(words: &[&str]) -> Command {
    let mut command = node("openai_sdk.cjs");
    command.args(words);
    command
}

fn azure(mut command: Command, resource: &str, variable: &str) -> Command {
    command.env("AZURE_OPENAI_ENDPOINT", format!("https://{resource}.openai.azure.com"));
    command.env("OPENAI_API_VERSION", "2025-04-01-preview").env(variable, PLACEHOLDER);
    command
}

fn vertex(mut command: Command) -> Command {
    command.env("GOOGLE_GENAI_USE_VERTEXAI", "true").env("GOOGLE_API_KEY", PLACEHOLDER);
    // Without it the SDKs warn that there are two.
    command.env_remove("GEMINI_API_KEY");
    command
}

fn aws(mut command: Command, words: &[&str]) -> Command {
    command.args(words).env("AWS_REGION", REGION).env("AWS_DEFAULT_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", PLACEHOLDER).env("AWS_SECRET_ACCESS_KEY", PLACEHOLDER);
    // Nothing of the machine's: neither files nor the instance.
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

impl Software {
    /// Starts it in front of a gateway, with nothing in its environment but what an agent is given.
    #[must_use]
    pub fn start(&self, mode: &str, gateway: &Ready) -> Run {
        self.start_with(mode, &gateway.ca, gateway.proxy)
    }

    /// Starts it behind any proxy: for tests without a gateway.
    #[must_use]
    pub fn start_with(&self, mode: &str, ca: &Path, proxy: SocketAddr) -> Run {
        Run(Process::spawn(self.prepared(mode, ca, proxy)))
    }

    /// Starts it behind any proxy, with more in its environment: for a server that is tested without a gateway.
    #[must_use]
    pub fn start_given(&self, mode: &str, ca: &Path, proxy: SocketAddr, given: &[(&str, String)]) -> Run {
        let mut command = self.prepared(mode, ca, proxy);
        command.envs(given.iter().map(|(name, value)| (name, value)));
        Run(Process::spawn(command))
    }

    fn prepared(&self, mode: &str, ca: &Path, proxy: SocketAddr) -> Command {
        let mut command = (self.command)();
        let given: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command.env_clear().arg(mode);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        command.env("HTTPS_PROXY", format!("http://{proxy}"));
        for name in CA_VARIABLES {
            command.env(name, ca);
        }
        command.envs(PLACEHOLDERS.iter().map(|name| (name, PLACEHOLDER)));
        for (name, value) in given {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

/// A running client.
pub struct Run(Process);

impl Run {
    /// Waits until it has printed a line that starts so. Panics with all it wrote when it does not.
    pub async fn wait_for(&mut self, start: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.0.output().iter().any(|line| line.starts_with(start)) {
            assert!(Instant::now() < end && !self.0.is_over(), "no {start:?}: {}", self.written());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end, which must be a success, and returns its standard output by line.
    pub async fn output(mut self) -> Vec<String> {
        let code = self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(code, Some(0), "{}", self.written());
        self.0.output()
    }

    /// Waits for its end: its standard output by line if that is a success, else all it wrote.
    ///
    /// # Errors
    /// All it wrote, when it fails.
    pub async fn ended(mut self) -> Result<Vec<String>, String> {
        let code = self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        if code == Some(0) { Ok(self.0.output()) } else { Err(self.written()) }
    }

    /// Waits for its end, whatever it is, and returns all it wrote.
    pub async fn written_at_end(mut self) -> String {
        self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.written()
    }

    /// Waits for its end, which must be a failure, and returns all it wrote.
    pub async fn failure(mut self) -> String {
        let code = self.0.ended(PATIENCE).await.expect("the client ends");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_ne!(code, Some(0), "{}", self.written());
        self.written()
    }

    /// The lines printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.output()
    }

    fn written(&self) -> String {
        [self.0.output(), self.0.errors()].concat().join("\n")
    }
}
