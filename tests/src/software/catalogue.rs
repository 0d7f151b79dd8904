//! The clients: what each is started with. A variable that is not here is not in its environment.

use std::ffi::OsStr;
use std::process::Command;

use super::{CA, PROXY, Software, TRUST_STORE};
use crate::artefacts::{root, tool};
use crate::provider::aws::REGION;
use crate::scenario::PLACEHOLDER;

/// curl; it speaks HTTP/2.
pub const CURL: Software = Software { name: "curl", command: || curl("") };

/// Every client of Anthropic that the set-up installs.
pub const ALL: &[Software] = &[
    CURL,
    Software { name: "curl, over HTTP/1.1", command: || curl("--http1.1") },
    Software {
        name: "anthropic 1 for Python",
        command: || anthropic(python("anthropic-1", "anthropic_sdk.py")),
    },
    Software {
        name: "anthropic 2 for Python",
        command: || anthropic(python("anthropic-2", "anthropic_sdk.py")),
    },
    Software { name: "@anthropic-ai/sdk on Node 24", command: || anthropic(node("anthropic_sdk.cjs")) },
    Software { name: "anthropic-sdk-go", command: || anthropic(go("anthropic")) },
];

/// HTTP clients that are no SDK, with a script or a program that asks Anthropic; each knows `plain` alone.
pub const HTTP: &[Software] = &[
    Software { name: "requests", command: || http_client("requests", "REQUESTS_CA_BUNDLE") },
    Software { name: "httpx", command: || http_client("httpx", "SSL_CERT_FILE") },
    Software { name: "urllib", command: || http_client("urllib", "SSL_CERT_FILE") },
    Software { name: "fetch on Node 24", command: || anthropic(node("fetch.cjs")) },
    Software { name: "Go net/http", command: || anthropic(go("net-http")) },
    Software { name: "reqwest", command: || anthropic(command(tool("bin/reqwest-client"), "SSL_CERT_FILE")) },
];

/// Every client of OpenAI's Responses.
pub const OPENAI_RESPONSES: &[Software] = &[
    Software { name: "openai for Python, Responses", command: || openai_python("responses") },
    Software { name: "openai on Node 24, Responses", command: || openai_node("responses") },
    Software { name: "openai-go, Responses", command: || openai_go("openai-responses") },
];

/// Every client of OpenAI's Chat Completions.
pub const OPENAI_CHAT: &[Software] = &[
    Software { name: "openai for Python, Chat Completions", command: || openai_python("chat") },
    Software { name: "openai on Node 24, Chat Completions", command: || openai_node("chat") },
    Software { name: "openai-go, Chat Completions", command: || openai_go("openai-chat") },
];

/// Clients of OpenAI's Embeddings; each knows `usage` alone.
pub const OPENAI_EMBEDDINGS: &[Software] = &[
    Software { name: "openai for Python, Embeddings", command: || openai_python("embeddings") },
    Software { name: "openai on Node 24, Embeddings", command: || openai_node("embeddings") },
];

/// Every client of Azure OpenAI that sends a key.
pub const AZURE_KEY: &[Software] = &[
    Software {
        name: "openai for Python on Azure, with a key",
        command: || azure(python("python-sdks", "openai_sdk.py"), "contoso", "AZURE_OPENAI_API_KEY"),
    },
    Software {
        name: "openai on Node 24 on Azure, with a key",
        command: || azure(node("openai_sdk.cjs"), "contoso", "AZURE_OPENAI_API_KEY"),
    },
];

/// Every client of Azure OpenAI that sends a token of Entra ID, or a key where only a token is taken.
pub const AZURE_TOKEN: &[Software] = &[
    Software {
        name: "openai for Python on Azure, with a token",
        command: || azure(python("python-sdks", "openai_sdk.py"), "fabrikam", "AZURE_OPENAI_AD_TOKEN"),
    },
    Software {
        name: "openai on Node 24 on Azure, with a key where a token is taken",
        command: || azure(node("openai_sdk.cjs"), "fabrikam", "AZURE_OPENAI_API_KEY"),
    },
];

/// Every client of Google's Gemini API.
pub const GEMINI: &[Software] = &[
    Software { name: "google-genai for Python", command: || gemini(python("python-sdks", "google_sdk.py")) },
    Software { name: "@google/genai on Node 24", command: || gemini(node("google_sdk.cjs")) },
];

/// Every client of Google's Vertex AI in express mode, which takes a key.
pub const VERTEX: &[Software] = &[
    Software {
        name: "google-genai for Python on Vertex AI",
        command: || vertex(python("python-sdks", "google_sdk.py")),
    },
    Software { name: "@google/genai on Node 24 on Vertex AI", command: || vertex(node("google_sdk.cjs")) },
];

/// Every client of Amazon S3, and what else than `put-get` each can be told.
pub const S3: &[(Software, &[&str])] = &[
    (
        Software { name: "boto3, S3", command: || boto3_and_urllib("s3") },
        &["put-get-by-path", "put-get-hashed", "multipart", "presigned"],
    ),
    (Software { name: "@aws-sdk/client-s3 on Node 24", command: || aws_node("s3") }, &[]),
    (Software { name: "aws-sdk-go-v2, S3", command: || aws_go("s3") }, &[]),
    (Software { name: "AWS SDK for Java 2, S3", command: || aws_java("s3") }, &["put-get-async"]),
];

/// Every client of Amazon Bedrock, which is told `invoke`, `converse`, or one of these with `-streamed` behind it.
pub const BEDROCK: &[Software] = &[
    Software { name: "boto3, Bedrock", command: || boto3("bedrock") },
    Software { name: "@aws-sdk/client-bedrock-runtime on Node 24", command: || aws_node("bedrock") },
    Software { name: "aws-sdk-go-v2, Bedrock", command: || aws_go("bedrock") },
    Software { name: "AWS SDK for Java 2, Bedrock", command: || aws_java("bedrock") },
];

/// Every client of AWS STS, which is told `identity`.
pub const STS: &[Software] = &[
    Software { name: "boto3, STS", command: || boto3("sts") },
    Software { name: "aws-sdk-go-v2, STS", command: || aws_go("sts") },
    Software { name: "AWS SDK for Java 2, STS", command: || aws_java("sts") },
];

/// A client of Amazon DynamoDB, which is told `put-get`.
pub const DYNAMODB: Software = Software { name: "boto3, DynamoDB", command: || boto3("dynamodb") };

/// git, which is told `clone` or `push`.
pub const GIT: Software = Software { name: "git", command: || script("sh", "git.sh", "GIT_SSL_CAINFO") };

/// Every client, in every way in which it is used.
pub fn every() -> impl Iterator<Item = &'static Software> {
    let models =
        [ALL, HTTP, OPENAI_RESPONSES, OPENAI_CHAT, AZURE_KEY, AZURE_TOKEN, GEMINI, VERTEX, BEDROCK, STS];
    let models = models.into_iter().flatten();
    models.chain(S3.iter().map(|(software, _)| software)).chain([&DYNAMODB, &GIT])
}

/// A command that reads the proxy from the environment, and the CA from this variable.
fn command(program: impl AsRef<OsStr>, ca: &str) -> Command {
    let mut command = Command::new(program);
    command.env("HTTPS_PROXY", PROXY).env(ca, CA);
    command
}

fn script(interpreter: impl AsRef<OsStr>, name: &str, ca: &str) -> Command {
    let mut command = command(interpreter, ca);
    command.arg(root().join("tests/clients").join(name));
    command
}

fn curl(options: &str) -> Command {
    let mut command = script("sh", "curl.sh", "CURL_CA_BUNDLE");
    command.env("ANTHROPIC_API_KEY", PLACEHOLDER).env("CURL_OPTIONS", options);
    command
}

fn python(environment: &str, name: &str) -> Command {
    script(tool(&format!("{environment}/bin/python")), name, "SSL_CERT_FILE")
}

fn http_client(library: &str, ca: &str) -> Command {
    with(script(tool("python-sdks/bin/python"), "http_clients.py", ca), &[library], "ANTHROPIC_API_KEY")
}

fn node(name: &str) -> Command {
    let mut command = node_without_proxy(name);
    command.env("NODE_USE_ENV_PROXY", "1");
    command
}

/// For a script that reads the variable of the proxy by itself.
fn node_without_proxy(name: &str) -> Command {
    let mut command = script(tool("node/bin/node"), name, "NODE_EXTRA_CA_CERTS");
    command.env("NODE_PATH", tool("node/node_modules"));
    command
}

fn go(client: &str) -> Command {
    let mut command = command(tool("bin/go-clients"), "SSL_CERT_FILE");
    command.arg(client);
    command
}

fn with(mut command: Command, words: &[&str], key: &str) -> Command {
    command.args(words).env(key, PLACEHOLDER);
    command
}

fn anthropic(command: Command) -> Command {
    with(command, &[], "ANTHROPIC_API_KEY")
}

fn openai_python(api: &str) -> Command {
    with(python("python-sdks", "openai_sdk.py"), &["openai", api], "OPENAI_API_KEY")
}

fn openai_node(api: &str) -> Command {
    with(node("openai_sdk.cjs"), &["openai", api], "OPENAI_API_KEY")
}

fn openai_go(client: &str) -> Command {
    with(go(client), &[], "OPENAI_API_KEY")
}

fn azure(command: Command, resource: &str, key: &str) -> Command {
    let mut command = with(command, &["azure", "chat"], key);
    command.env("AZURE_OPENAI_ENDPOINT", format!("https://{resource}.openai.azure.com"));
    command.env("OPENAI_API_VERSION", "2025-04-01-preview");
    command
}

fn gemini(command: Command) -> Command {
    with(command, &[], "GEMINI_API_KEY")
}

fn vertex(command: Command) -> Command {
    let mut command = with(command, &[], "GOOGLE_API_KEY");
    command.env("GOOGLE_GENAI_USE_VERTEXAI", "true");
    command
}

fn aws(mut command: Command, words: &[&str]) -> Command {
    command.args(words).env("AWS_ACCESS_KEY_ID", PLACEHOLDER).env("AWS_SECRET_ACCESS_KEY", PLACEHOLDER);
    // Nothing of the machine's: neither files nor the instance.
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn boto3(service: &str) -> Command {
    let interpreter = tool("python-sdks/bin/python");
    let mut command = aws(script(interpreter, "aws_sdk.py", "AWS_CA_BUNDLE"), &[service]);
    command.env("AWS_DEFAULT_REGION", REGION);
    command
}

/// boto3, and the library that opens a URL that it made.
fn boto3_and_urllib(service: &str) -> Command {
    let mut command = boto3(service);
    command.env("SSL_CERT_FILE", CA);
    command
}

fn aws_node(service: &str) -> Command {
    let mut command = aws(node_without_proxy("aws_sdk.cjs"), &[service]);
    command.env("AWS_REGION", REGION);
    command
}

fn aws_go(client: &str) -> Command {
    let mut command = aws(go(client), &[]);
    command.env("AWS_REGION", REGION);
    command
}

fn aws_java(service: &str) -> Command {
    let mut command = Command::new("java");
    let folder = tool("java-clients");
    // Quick to start, as one request is all that it makes.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
    command.arg("-cp").arg(format!("{0}/classes:{0}/jars/*", folder.display())).arg("AwsSdk");
    for variable in ["HTTPS_PROXY", "HTTP_PROXY"] {
        command.env(variable, PROXY);
    }
    command.env("JAVA_TOOL_OPTIONS", TRUST_STORE);
    let mut command = aws(command, &[service]);
    command.env("AWS_REGION", REGION);
    command
}
