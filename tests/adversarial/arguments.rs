//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Attacks a credential-injecting proxy and says what it withstands. Without --proxy that proxy is Keyward.
#[derive(Debug, Clone, Parser)]
pub(crate) struct Arguments {
    /// Run only rows whose id starts with one of these words
    pub(crate) rows: Vec<String>,
    /// Another proxy to attack: http://ADDRESS:PORT, as seen inside the suite's network
    #[arg(long, requires = "ca", requires = "command", value_parser = proxy_address)]
    pub(crate) proxy: Option<SocketAddr>,
    /// The CA certificate of that proxy, PEM; may appear only after it has started
    #[arg(long, requires = "proxy")]
    pub(crate) ca: Option<PathBuf>,
    /// What that proxy is called in reports
    #[arg(long, requires = "proxy")]
    pub(crate) name: Option<String>,
    /// A file whose text stands at the head of the Markdown report: what was attacked, how it is configured
    #[arg(long, requires = "proxy", value_name = "FILE")]
    pub(crate) about: Option<PathBuf>,
    /// Where the reports are written [default: target/adversarial]
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// Rows that run at the same time, each in a network of its own
    #[arg(long, default_value_t = 5)]
    pub(crate) workers: usize,
    /// Say of each case when it is over
    #[arg(long)]
    pub(crate) progress: bool,
    /// Serve as a worker: only the suite itself says this
    #[arg(long, hide = true)]
    pub(crate) worker: bool,
    /// Taken so that it can be passed to all tests of the workspace
    #[arg(long, hide = true)]
    nocapture: bool,
    /// The command that starts that proxy, run inside the suite's network
    #[arg(last = true, requires = "proxy")]
    pub(crate) command: Vec<OsString>,
}

impl Arguments {
    /// What a worker is told.
    pub(crate) fn of_worker(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let (Some(proxy), Some(ca)) = (self.proxy, &self.ca) {
            words.extend(["--proxy".into(), format!("http://{proxy}").into(), "--ca".into(), ca.into()]);
            words.push("--".into());
            words.extend(self.command.iter().cloned());
        }
        words
    }

    /// Whether a row is asked for.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|start| id.starts_with(start.as_str()))
    }
}

fn proxy_address(url: &str) -> Result<SocketAddr, String> {
    let address = url.strip_prefix("http://").ok_or("not a URL such as http://127.0.0.1:8080")?;
    let address = address.trim_end_matches('/').parse();
    address.map_err(|_| "the host must be an address with a port, such as http://127.0.0.1:8080".to_owned())
}
