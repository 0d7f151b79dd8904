//! A forward proxy of another make (tinyproxy) between the gateway and upstreams, as many offices have one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// The proxy. It ends when dropped.
pub(crate) struct ForwardProxy {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl ForwardProxy {
    /// Starts it at an address. It opens tunnels to these ports, and refuses others.
    ///
    /// # Panics
    /// When tinyproxy is missing, by name, or does not listen.
    pub(crate) async fn start(address: SocketAddr, ports: &[u16]) -> ForwardProxy {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (config, log) = (folder.path().join("tinyproxy.conf"), folder.path().join("log"));
        let ports: String = ports.iter().map(|port| format!("ConnectPort {port}\n")).collect();
        let text = format!(
            "Listen {}\nPort {}\nTimeout 600\nMaxClients 100\nLogFile \"{}\"\nLogLevel Info\nDisableViaHeader Yes\n{ports}",
            address.ip(),
            address.port(),
            log.display()
        );
        std::fs::write(&config, text).expect("a configuration file");
        let mut command = Command::new("tinyproxy");
        command
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("tinyproxy is missing: install it (hack/setup tinyproxy)");
        let proxy = ForwardProxy { child, log, _folder: folder };
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < end, "tinyproxy does not listen at {address}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy
    }

    /// The targets that it was asked for so far.
    pub(crate) fn asked_for(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let targets = log.lines().filter_map(|line| line.split(": CONNECT ").nth(1));
        targets.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
