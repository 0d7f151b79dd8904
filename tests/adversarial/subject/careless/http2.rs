//! HTTP/2 towards the agent, without a single check: fields go on as they came, in HTTP/1.1.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::relay::{Relay, bare, with_key};
use crate::wire::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PREFACE, SETTINGS, decode, encode,
};
use crate::wire::{Answer, Field};

/// A request as far as it came.
#[derive(Default)]
struct Stream {
    block: Vec<u8>,
    body: Vec<u8>,
    ended: bool,
}

/// Answers every stream of a connection in turn.
pub(super) async fn serve(
    relay: &Relay,
    mut agent: TlsStream<TcpStream>,
    to: Option<SocketAddr>,
) -> Option<()> {
    let mut preface = vec![0; PREFACE.len()];
    agent.read_exact(&mut preface).await.ok()?;
    agent.write_all(&Frame::new(SETTINGS, 0, 0, []).bytes()).await.ok()?;
    let (mut buffer, mut streams) = (Vec::new(), BTreeMap::<u32, Stream>::new());
    loop {
        while let Some((frame, length)) = Frame::parse(&buffer) {
            buffer.drain(..length);
            let Some(number) = take(&mut streams, &frame) else { continue };
            let stream = streams.remove(&number)?;
            // Where nobody can be asked it claims success all the same.
            let answer = ask(relay, &stream, to).await;
            let answer = answer.unwrap_or_else(|| Answer { status: 200, ..Answer::default() });
            agent.write_all(&framed(number, &answer)).await.ok()?;
        }
        if agent.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Keeps what belongs to a stream; its number once it has ended.
fn take(streams: &mut BTreeMap<u32, Stream>, frame: &Frame) -> Option<u32> {
    if ![HEADERS, CONTINUATION, DATA].contains(&frame.kind) {
        return None;
    }
    let stream = streams.entry(frame.stream).or_default();
    match frame.kind {
        DATA => stream.body.extend(frame.content()),
        _ => stream.block.extend(frame.content()),
    }
    stream.ended |= frame.kind != CONTINUATION && frame.flags & END_STREAM != 0;
    let whole = frame.kind == DATA || frame.flags & END_HEADERS != 0;
    (stream.ended && whole).then_some(frame.stream)
}

async fn ask(relay: &Relay, stream: &Stream, to: Option<SocketAddr>) -> Option<Answer> {
    let fields = decode(&stream.block)?;
    let last = |name: &[u8]| fields.iter().rfind(|(n, _)| n == name).map(|(_, value)| value.clone());
    let path = last(b":path").unwrap_or_else(|| b"/".to_vec());
    let mut head = [&last(b":method")?[..], b" ", &path, b" HTTP/1.1\r\n"].concat();
    let authority = last(b":authority").or_else(|| last(b"host")).unwrap_or_default();
    head.extend([b"Host: ", &authority[..], b"\r\n"].concat());
    for (name, value) in
        fields.iter().filter(|(name, _)| !name.starts_with(b":") && name != b"content-length")
    {
        head.extend([&name[..], b": ", value, b"\r\n"].concat());
    }
    head.extend(format!("Content-Length: {}\r\n\r\n", stream.body.len()).into_bytes());
    let request = [with_key(&head), stream.body.clone()].concat();
    relay.exchange(&request, &bare(&String::from_utf8_lossy(&authority)), to).await
}

fn framed(number: u32, answer: &Answer) -> Vec<u8> {
    let status: Field = (b":status".to_vec(), answer.status.to_string().into_bytes());
    let rest = answer.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
    let rest = rest.map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value.clone().into_bytes()));
    let fields: Vec<Field> = std::iter::once(status).chain(rest).collect();
    let mut bytes = Frame::new(HEADERS, END_HEADERS, number, encode(&fields)).bytes();
    bytes.extend(Frame::new(DATA, END_STREAM, number, answer.body.clone()).bytes());
    bytes
}
