//! The admin interface of an Envoy of the tests' own, on a Unix socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::Process;

/// How long an Envoy may take until it listens, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to a GET, as it stands on the wire.
///
/// # Errors
/// When nothing answers at the socket.
pub fn ask(socket: &Path, path: &str) -> std::io::Result<String> {
    send(socket, "GET", path)
}

/// The answer to a request, as it stands on the wire.
///
/// # Errors
/// When nothing answers at the socket.
pub fn send(socket: &Path, method: &str, path: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The port that the kernel gave to this Envoy's only listener. Panics with what Envoy wrote when it does not listen.
pub async fn port(socket: &Path, envoy: &mut Process) -> u16 {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = ask(socket, "/listeners?format=json").unwrap_or_default();
        let named = answer.split("\"port_value\":").nth(1).map(str::trim_start);
        match named.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()) {
            Some(port) if port != 0 => return port,
            _ if envoy.is_over() || Instant::now() > end => {
                panic!("Envoy does not listen, {answer:?}: {}", envoy.errors().join("\n"))
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
