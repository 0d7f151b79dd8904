//! The control socket of a running `keyward dev`: how `keyward secret set` and `keyward status` reach it.
//!
//! One request a connection: a line of JSON that names the Secret and the length of each value, then the values as
//! raw bytes, so that no secret passes through a serializer; or a line that asks for the status. The answer is one line
//! of JSON. The socket is 0600 in a 0700 directory, and only this user's processes are answered (`SO_PEERCRED`).

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

use super::status::Status;
use crate::plan::ObjectKey;

/// The longest header line and the largest value accepted, in bytes. A Kubernetes Secret holds at most 1 MiB.
const LIMIT: u64 = 1024 * 1024;

/// The longest status: some hundred bytes for each of many thousand objects.
const STATUS_LIMIT: u64 = 256 * 1024 * 1024;

/// How long a status may take.
const ANSWER: Duration = Duration::from_secs(10);

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

/// The first line of a request.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Ask(Question),
    Set(Header),
}

/// What can be asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    Status {},
}

/// A request and where its answer goes.
pub(super) enum Pending {
    Set { request: SetSecret, answer: oneshot::Sender<Answer> },
    Status(oneshot::Sender<Box<Status>>),
}

/// Asks a running `keyward dev` how it stands.
///
/// # Errors
/// Nobody listens there, the connection broke, or it is of a version that has no answer.
pub(crate) fn ask_status(socket: &Path) -> io::Result<Status> {
    let mut stream = ClientStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    serde_json::to_writer(&mut stream, &Line::Ask(Question::Status {}))?;
    stream.write_all(b"\n")?;
    let mut line = String::new();
    BufReader::new(stream).take(STATUS_LIMIT).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::other("it gave no answer; perhaps it is of another version of keyward"));
    }
    Ok(serde_json::from_str(&line)?)
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
    let mut line = match tokio::time::timeout(Duration::from_secs(10), read(&mut stream)).await?? {
        Some(request) => serde_json::to_vec(&set(request, requests).await)?,
        None => serde_json::to_vec(&status(requests).await?)?,
    };
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn set(request: SetSecret, requests: mpsc::Sender<Pending>) -> Answer {
    let (answer, receiver) = oneshot::channel();
    let stopping = || Answer::Refused { message: "keyward dev is stopping".into() };
    match requests.send(Pending::Set { request, answer }).await {
        Ok(()) => receiver.await.unwrap_or_else(|_| stopping()),
        Err(_) => stopping(),
    }
}

async fn status(requests: mpsc::Sender<Pending>) -> io::Result<Box<Status>> {
    let (answer, receiver) = oneshot::channel();
    // Without an answer the connection ends: it is stopping.
    requests.send(Pending::Status(answer)).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
    receiver.await.map_err(|_| io::ErrorKind::ConnectionAborted.into())
}

/// Reads a request; `None` asks for the status.
async fn read(stream: &mut UnixStream) -> io::Result<Option<SetSecret>> {
    let mut reader = tokio::io::BufReader::new(stream);
    let mut line = Vec::new();
    (&mut reader).take(LIMIT).read_until(b'\n', &mut line).await?;
    let header = match serde_json::from_slice(&line)? {
        Line::Ask(Question::Status {}) => return Ok(None),
        Line::Set(header) => header,
    };
    let mut values = BTreeMap::new();
    for (key, length) in header.values {
        values.insert(key, read_value(&mut reader, length).await?);
    }
    Ok(Some(SetSecret {
        secret: ObjectKey { namespace: header.namespace, name: header.name },
        values,
        wait: header.wait_ms.map(Duration::from_millis),
    }))
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
        let Some(Pending::Set { request, answer: to }) = receiver.recv().await else { panic!("no request") };
        assert_eq!(request.secret.to_string(), "n/s");
        assert_eq!(request.values["a"].expose(), b"one\n\0two");
        assert_eq!(request.values["b"].expose(), b"");
        assert_eq!(request.wait, Some(Duration::from_secs(5)));
        let answer = Answer::Done { proxies: 1, note: None };
        to.send(answer.clone()).expect("someone waits");
        assert_eq!(client.await.expect("no panic").expect("an answer"), answer);
    }

    #[tokio::test]
    async fn a_status_that_is_asked_for_comes_back_and_none_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (sender, mut receiver) = mpsc::channel(1);
        tokio::spawn(serve(listener, sender));
        let status = Status {
            version: "1".into(),
            ready: true,
            gateways: vec![],
            objects: vec![],
            problems: vec!["a.yaml:1: x".into()],
            tokens: vec![],
            inspector: None,
        };
        for answered in [true, false] {
            let path = path.clone();
            let client = tokio::task::spawn_blocking(move || ask_status(&path));
            let Some(Pending::Status(to)) = receiver.recv().await else { panic!("no request") };
            match answered {
                true => to.send(Box::new(status.clone())).expect("someone waits"),
                false => drop(to),
            }
            assert_eq!(client.await.expect("no panic").ok(), answered.then(|| status.clone()));
        }
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
