//! The control socket of a running `keyward dev`: how `keyward secret set` reaches it.
//!
//! One request a connection: a line of JSON that names the Secret and the length of each value, then the values as
//! raw bytes, so that no secret passes through a serializer. The answer is one line of JSON. The socket is 0600 in a
//! 0700 directory, and only this user's processes are answered (`SO_PEERCRED`).

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream as ClientStream;
use std::path::Path;
use std::time::Duration;

use policy::secret::Secret;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::plan::ObjectKey;

/// The longest header line and the largest value accepted, in bytes. A Kubernetes Secret holds at most 1 MiB.
const LIMIT: u64 = 1024 * 1024;

/// Set keys of a Secret.
pub(crate) struct SetSecret {
    /// The Secret.
    pub(crate) secret: ObjectKey,
    /// Its new values; other keys stay as they are.
    pub(crate) values: BTreeMap<String, Secret>,
    /// How long to wait until every connected Envoy has acknowledged; `None` does not wait.
    pub(crate) wait: Option<Duration>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// Stored; `proxies` Envoys have acknowledged it (or were not waited for).
    Done {
        /// How many Envoys use it.
        proxies: usize,
        /// Something the user should know, such as that no object names the Secret.
        note: Option<String>,
    },
    /// Refused, nothing was stored.
    Refused {
        /// Why, with the remedy.
        message: String,
    },
    /// Stored, but not acknowledged in time.
    TimedOut {
        /// Which Envoys are missing.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    namespace: String,
    name: String,
    values: Vec<(String, u64)>,
    wait_ms: Option<u64>,
}

/// A request and where its answer goes.
pub(super) struct Pending {
    pub(super) request: SetSecret,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Sends one request to a running `keyward dev` and returns its answer.
///
/// # Errors
/// Nobody listens there, or the connection broke.
pub(crate) fn send(socket: &Path, request: &SetSecret) -> io::Result<Answer> {
    let mut stream = ClientStream::connect(socket)?;
    let header = Header {
        namespace: request.secret.namespace.clone(),
        name: request.secret.name.clone(),
        values: request
            .values
            .iter()
            .map(|(key, value)| (key.clone(), value.expose().len() as u64))
            .collect(),
        wait_ms: request.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    };
    serde_json::to_writer(&mut stream, &header)?;
    stream.write_all(b"\n")?;
    for value in request.values.values() {
        // Exposed: the values go to our own process, over a socket that only this user can open.
        stream.write_all(value.expose())?;
    }
    let mut line = String::new();
    BufReader::new(stream).take(LIMIT).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Accepts connections until the listener is dropped with the task.
pub(super) async fn serve(listener: UnixListener, requests: mpsc::Sender<Pending>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Err(error) = answer(stream, requests).await {
                        tracing::debug!(%error, "control connection");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, requests: mpsc::Sender<Pending>) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::getuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let request = tokio::time::timeout(Duration::from_secs(10), read(&mut stream)).await??;
    let (sender, receiver) = oneshot::channel();
    let stopping = || Answer::Refused { message: "keyward dev is stopping".into() };
    let answer = match requests.send(Pending { request, answer: sender }).await {
        Ok(()) => receiver.await.unwrap_or_else(|_| stopping()),
        Err(_) => stopping(),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn read(stream: &mut UnixStream) -> io::Result<SetSecret> {
    let mut reader = tokio::io::BufReader::new(stream);
    let mut line = Vec::new();
    (&mut reader).take(LIMIT).read_until(b'\n', &mut line).await?;
    let header: Header = serde_json::from_slice(&line)?;
    let mut values = BTreeMap::new();
    for (key, length) in header.values {
        values.insert(key, read_value(&mut reader, length).await?);
    }
    Ok(SetSecret {
        secret: ObjectKey { namespace: header.namespace, name: header.name },
        values,
        wait: header.wait_ms.map(Duration::from_millis),
    })
}

async fn read_value(reader: &mut (impl AsyncReadExt + Unpin), length: u64) -> io::Result<Secret> {
    if length > LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a value is larger than 1 MiB"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    reader.read_exact(&mut bytes).await?;
    Ok(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_arrives_whole_and_its_answer_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(serve(listener, sender));
        let client = tokio::task::spawn_blocking(move || {
            let values =
                [("a".to_owned(), Secret::new(b"one\n\0two".to_vec())), ("b".into(), Secret::new(vec![]))];
            let secret = ObjectKey { namespace: "n".into(), name: "s".into() };
            send(&path, &SetSecret { secret, values: values.into(), wait: Some(Duration::from_secs(5)) })
        });
        let pending = receiver.recv().await.expect("a request");
        assert_eq!(pending.request.secret.to_string(), "n/s");
        assert_eq!(pending.request.values["a"].expose(), b"one\n\0two");
        assert_eq!(pending.request.values["b"].expose(), b"");
        assert_eq!(pending.request.wait, Some(Duration::from_secs(5)));
        let answer = Answer::Done { proxies: 1, note: None };
        pending.answer.send(answer.clone()).expect("someone waits");
        assert_eq!(client.await.expect("no panic").expect("an answer"), answer);
    }

    #[tokio::test]
    async fn a_value_that_is_announced_too_large_is_not_read() {
        let (mut client, mut server) = UnixStream::pair().expect("a pair");
        let header = format!(
            "{{\"namespace\":\"n\",\"name\":\"s\",\"values\":[[\"a\",{}]],\"wait_ms\":null}}\n",
            LIMIT + 1
        );
        client.write_all(header.as_bytes()).await.expect("written");
        assert!(read(&mut server).await.is_err());
    }
}
