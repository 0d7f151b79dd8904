//! The test provider as a process. It prints one line of JSON when it is ready, and serves until it is killed or its
//! standard input ends, so that it cannot outlive whoever started it with a pipe.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use harness::provider::{Behaviour, Identity, Options, Provider, control};
use serde_json::json;

/// A provider to test against: answers like Anthropic's Messages API and keeps what it received.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Name that the certificate is valid for; may be given several times.
    #[arg(long = "name", default_value = "api.anthropic.com")]
    names: Vec<String>,
    /// Environment variable that holds the one key to accept; without it every key is.
    #[arg(long)]
    key_env: Option<String>,
    /// What is wrong with the certificate.
    #[arg(long, value_enum, default_value_t = Certificate::Valid)]
    certificate: Certificate,
    /// Protocol offered by ALPN (h2, http/1.1); may be given several times. Default: both.
    #[arg(long = "alpn")]
    alpn: Vec<String>,
    /// Serve until killed, whatever becomes of standard input.
    #[arg(long)]
    detached: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Certificate {
    Valid,
    WrongName,
    Expired,
    UnknownAuthority,
}

impl From<Certificate> for Identity {
    fn from(certificate: Certificate) -> Self {
        match certificate {
            Certificate::Valid => Identity::Valid,
            Certificate::WrongName => Identity::WrongName,
            Certificate::Expired => Identity::Expired,
            Certificate::UnknownAuthority => Identity::UnknownAuthority,
        }
    }
}

impl Arguments {
    fn options(&self) -> Result<Options, String> {
        let key = match &self.key_env {
            Some(name) => Some(std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?),
            None => None,
        };
        Ok(Options {
            listen: self.listen,
            names: self.names.clone(),
            identity: self.certificate.into(),
            alpn: self.protocols()?,
            behaviour: Behaviour { key, ..Behaviour::default() },
        })
    }

    fn protocols(&self) -> Result<Vec<&'static str>, String> {
        if self.alpn.is_empty() {
            return Ok(Options::default().alpn);
        }
        let known = |name: &String| match name.as_str() {
            "h2" => Ok("h2"),
            "http/1.1" => Ok("http/1.1"),
            other => Err(format!("unknown protocol {other}")),
        };
        self.alpn.iter().map(known).collect()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let provider = Arc::new(Provider::start(arguments.options()?).await?);
    let control = control::serve(Arc::clone(&provider)).await?;
    let name = arguments.names.first().map_or("localhost", String::as_str);
    let port = provider.address().port();
    println!(
        "{}",
        json!({
            "url": format!("https://{name}:{port}"),
            "port": port,
            "ca": provider.ca_file(),
            "control": format!("http://{control}"),
        })
    );
    if arguments.detached {
        std::future::pending::<()>().await;
    }
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}
