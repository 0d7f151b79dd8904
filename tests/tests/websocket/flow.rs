//! What flows once a WebSocket is open: messages and bytes as they are, for as long as somebody speaks.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::server::Answer;
use super::{OPENAI, agents, gateway, open};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Texts that a reader of HTTP might take for more of it.
const LOOKALIKES: [&str; 4] = [
    "GET /v1/models HTTP/1.1\r\nHost: api.openai.com\r\n\r\n",
    "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
    "0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// Bytes of every value, without a period that a frame or buffer has (xorshift, Marsaglia 2003).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn next(socket: &mut Socket) -> Message {
    timeout(PATIENCE, socket.next())
        .await
        .expect("a message in time")
        .expect("an open socket")
        .expect("a message")
}

#[tokio::test]
async fn messages_pings_and_closes_pass_both_ways() {
    let (_server, gateway) = gateway(&["h2", "http/1.1"], |manifests| manifests).await;
    for (way, agent) in agents(&gateway, OPENAI) {
        let mut socket = WebSocketStream::from_raw_socket(open(&agent).await, Role::Client, None).await;
        let sizes = [1, 125, 126, 4 << 10, 65_535, 65_536, 100 << 10, 1 << 20];
        let binary = sizes.map(|size| Message::binary(noise(size)));
        for message in binary.into_iter().chain(LOOKALIKES.map(Message::text)) {
            socket.send(message.clone()).await.expect(way);
            assert!(next(&mut socket).await == message, "{way}: a message of {} bytes", message.len());
        }
        socket.send(Message::Ping("still there?".into())).await.expect(way);
        assert_eq!(next(&mut socket).await, Message::Pong("still there?".into()), "{way}");
        let reason = CloseFrame { code: CloseCode::Away, reason: "done".into() };
        socket.close(Some(reason.clone())).await.expect(way);
        assert_eq!(next(&mut socket).await, Message::Close(Some(reason)), "{way}");
        let ended = timeout(PATIENCE, socket.next()).await.expect("an end in time");
        assert!(!matches!(ended, Some(Ok(_))), "{way}: {ended:?} after the close");
    }
}

#[tokio::test]
async fn bytes_pass_as_they_are() {
    let (server, gateway) = gateway(&["h2", "http/1.1"], |manifests| manifests).await;
    server.answers(Answer::Bytes);
    for (way, agent) in agents(&gateway, OPENAI) {
        let (mut read, mut write) = tokio::io::split(open(&agent).await);
        let sent = [LOOKALIKES.concat().into_bytes(), noise(1 << 20)].concat();
        let pieces = sent.clone();
        let sending = tokio::spawn(async move {
            for piece in pieces.chunks(9_973) {
                write.write_all(piece).await.expect("an open connection");
                write.flush().await.expect("an open connection");
            }
            write
        });
        let mut received = vec![0; sent.len()];
        timeout(PATIENCE, read.read_exact(&mut received)).await.expect("in time").expect(way);
        assert!(received == sent, "{way}: the bytes that came back are others");
        drop(sending.await.expect("no panic"));
    }
}

#[tokio::test]
async fn a_silent_socket_ends_and_one_that_speaks_stays() {
    const SILENCE: Duration = Duration::from_secs(2);
    let (server, gateway) =
        gateway(&["http/1.1"], |manifests| manifests.gateway_spec("requestTimeout: 2s")).await;
    server.answers(Answer::Bytes);
    for (way, agent) in agents(&gateway, OPENAI) {
        let (mut silent, mut speaking) = (open(&agent).await, open(&agent).await);
        let silent = async {
            let started = Instant::now();
            let read = timeout(PATIENCE, silent.read(&mut [0; 16])).await.expect("the silent socket ends");
            assert!(!matches!(read, Ok(1..)), "{way}: bytes out of nowhere");
            assert!(
                started.elapsed() >= SILENCE - Duration::from_millis(200),
                "{way}: after {:?}",
                started.elapsed()
            );
        };
        let speaking = async {
            for _ in 0..7 {
                sleep(SILENCE / 2).await;
                speaking.write_all(b"x").await.expect("an open socket");
                speaking.flush().await.expect("an open socket");
                let read = timeout(PATIENCE, speaking.read_u8()).await.expect("in time");
                assert_eq!(read.expect("an open socket"), b'x', "{way}");
            }
        };
        tokio::join!(silent, speaking);
    }
}
