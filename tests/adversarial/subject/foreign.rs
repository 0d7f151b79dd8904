//! Somebody else's proxy: started by its own command in the suite's network, reached at the address it was given.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use harness::process::Process;
use harness::scenario::KEY;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::{Kind, Running, Subject};
use crate::arguments::Arguments;
use crate::world::World;

/// How long it may take until it listens and has written its CA.
const START: Duration = Duration::from_secs(60);

pub(super) async fn start(
    proxy: SocketAddr,
    world: &World,
    arguments: &Arguments,
) -> Result<Subject, String> {
    let file = arguments.ca.clone().ok_or("--ca is missing")?;
    let (program, words) = arguments.command.split_first().ok_or("the command after -- is missing")?;
    let mut command = Command::new(program);
    command.args(words).env("ADVERSARIAL_KEY", KEY).env("ADVERSARIAL_CA_BUNDLE", world.bundle());
    let mut process = Process::spawn(command);
    let end = Instant::now() + START;
    loop {
        let ca = std::fs::read_to_string(&file).unwrap_or_default();
        if ca.contains("-----END CERTIFICATE-----") && TcpStream::connect(proxy).await.is_ok() {
            let running = Running::Foreign(Mutex::new(process));
            return Ok(Subject { kind: Kind::Foreign, proxy, transparent: None, ca, gateway: None, running });
        }
        if process.is_over() || Instant::now() > end {
            let said = [process.output(), process.errors()].concat().join("\n");
            return Err(format!(
                "the proxy does not listen at {proxy}, or has no CA at {}:\n{said}",
                file.display()
            ));
        }
        sleep(Duration::from_millis(50)).await;
    }
}
