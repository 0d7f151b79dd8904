//! Servers that verify Signature Version 4, each a program that shares nothing with the code under test: `s3s` for S3,
//! moto for STS and DynamoDB, botocore for what the test provider received in Bedrock's place.
//!
//! The servers speak plain HTTP on loopback; [`AwsServer::front`] ends TLS in front of one and passes every byte on.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Received, Scripted};
use crate::artefacts::{root, tool};
use crate::process::Process;

/// The region of every test.
pub const REGION: &str = "eu-central-1";

/// The bucket, and the table, of every test.
pub const BUCKET: &str = "keyward-test";

/// A server is ready within this time on a slow machine.
const START: Duration = Duration::from_secs(60);

/// What AWS gives out: a key pair, and perhaps the token of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The public part.
    pub access_key_id: String,
    /// The secret part.
    pub secret_access_key: String,
    /// The session's token.
    pub session_token: Option<String>,
}

impl Keys {
    /// A made-up pair without a session.
    #[must_use]
    pub fn made_up() -> Keys {
        Keys {
            access_key_id: "AKIAKEYWARDTESTREAL1".into(),
            secret_access_key: "wJalrXUtnFEMI+K7MDENG/bPxRfiCYkeywardReal".into(),
            session_token: None,
        }
    }

    /// The same with another secret.
    #[must_use]
    pub fn with_another_secret(&self) -> Keys {
        Keys { secret_access_key: "another+secret/of/the/same/length+as/that".into(), ..self.clone() }
    }

    /// The environment in which every AWS client looks for them.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key.clone()),
        ];
        variables.extend(self.session_token.clone().map(|token| ("AWS_SESSION_TOKEN", token)));
        variables
    }

    fn parse(value: &Value) -> Keys {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Keys {
            access_key_id: text("access_key_id").expect("a key"),
            secret_access_key: text("secret_access_key").expect("a secret"),
            session_token: text("session_token"),
        }
    }
}

/// A server in plain HTTP on loopback. It stops when dropped.
pub struct AwsServer {
    address: SocketAddr,
    /// Keys that it takes.
    pub keys: Vec<Keys>,
    _process: Process,
    _folder: Option<tempfile::TempDir>,
}

impl AwsServer {
    /// S3 with one bucket: verifies signatures, dates and body hashes.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn s3s(keys: Keys) -> AwsServer {
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let mut command = Command::new(tool("bin/s3s-server"));
        command.arg(folder.path()).arg(&keys.access_key_id).arg(format!("s3.{REGION}.amazonaws.com"));
        command.env("S3S_SECRET_KEY", &keys.secret_access_key);
        let mut process = Process::spawn(command);
        let line = process.first_line(START).await.unwrap_or_else(|errors| panic!("s3s: {errors}"));
        let address = SocketAddr::from(([127, 0, 0, 1], line.parse().expect("a port")));
        AwsServer { address, keys: vec![keys], _process: process, _folder: Some(folder) }
    }

    /// STS, and DynamoDB with one table: verifies signatures and permissions. Two keys: a user's and a session's.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn moto() -> AwsServer {
        let mut command = Command::new(tool("moto/bin/python"));
        command.arg(root().join("hack/python/moto_server.py"));
        let mut process = Process::spawn(command);
        let line = process.first_line(START).await.unwrap_or_else(|errors| panic!("moto: {errors}"));
        let facts: Value = serde_json::from_str(&line).expect("a line of JSON");
        let port = facts["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let keys = vec![Keys::parse(&facts["user"]), Keys::parse(&facts["session"])];
        AwsServer { address: ([127, 0, 0, 1], port).into(), keys, _process: process, _folder: None }
    }

    /// Where it listens, in plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends TLS for these hosts in front of it, and passes every byte on.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn front(&self, hosts: &[&str]) -> Scripted {
        let server = self.address;
        let forward = move |mut client: tokio_rustls::server::TlsStream<TcpStream>| async move {
            let Ok(mut server) = TcpStream::connect(server).await else { return };
            // How a connection ends is the business of its two ends.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        };
        Scripted::start(hosts, &["http/1.1"], forward).await.expect("a port of 127.0.0.1")
    }
}

/// What botocore says of each request, signed for this service and region: `valid`, or what is wrong.
///
/// # Panics
/// When it cannot be asked.
pub async fn verify(requests: &[Received], (service, region): (&str, &str), keys: &Keys) -> Vec<String> {
    let mut command = tokio::process::Command::new(tool("moto/bin/python"));
    command.arg(root().join("hack/python/sigv4.py")).kill_on_drop(true);
    command.env("SIGV4_KEY", &keys.access_key_id).env("SIGV4_SECRET", &keys.secret_access_key);
    command.env("SIGV4_REGION", region).env("SIGV4_SERVICE", service);
    command.envs(keys.session_token.iter().map(|token| ("SIGV4_TOKEN", token)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("Python can be started");
    let mut input = child.stdin.take().expect("a pipe");
    for request in requests {
        let line = json!({
            "method": request.method, "authority": request.authority, "path": request.path,
            "headers": request.headers, "body": STANDARD.encode(&request.body),
        });
        input.write_all(format!("{line}\n").as_bytes()).await.expect("the verifier reads");
    }
    drop(input);
    let output = child.wait_with_output().await.expect("the verifier ends");
    let lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), requests.len(), "the verifier answers every request: {lines:?}");
    lines
}
