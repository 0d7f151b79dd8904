//! A TLS ClientHello by hand (RFC 8446, section 4.1.2), for server names that no library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the server makes of a ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on with the handshake.
    Accepted,
    /// It sent an alert of this description, or ended the connection (None).
    Refused(Option<u8>),
    /// It neither answers nor ends the connection.
    Silent,
}

/// Sends a ClientHello with exactly this server name over an open connection.
pub(crate) async fn offer(stream: TcpStream, server_name: Option<&[u8]>, alpn: &[&str]) -> Outcome {
    send(stream, &hello(server_name, alpn)).await
}

/// The same with an encrypted ClientHello inside, of which nobody but the agent and its accomplice can say what it names
/// (RFC 9849, section 5).
pub(crate) async fn offer_hiding(stream: TcpStream, server_name: &[u8], alpn: &[&str]) -> Outcome {
    // An outer one, HKDF-SHA256 with AES-128-GCM, some configuration, a key share, and what is sealed for it.
    let hidden = [&[0, 0, 1, 0, 1, 42][..], &vector16(&[9; 32]), &vector16(&[5; 240])].concat();
    send(stream, &record(Some(server_name), alpn, &extension(0xfe0d, &hidden))).await
}

async fn send(mut stream: TcpStream, hello: &[u8]) -> Outcome {
    if stream.write_all(hello).await.is_err() {
        return Outcome::Refused(None);
    }
    let mut record = [0; 7];
    match timeout(PATIENCE, stream.read_exact(&mut record)).await {
        Err(_) => Outcome::Silent,
        Ok(Err(_)) => Outcome::Refused(None),
        Ok(Ok(_)) if record[0] == 22 => Outcome::Accepted,
        Ok(Ok(_)) => Outcome::Refused(Some(record[6])),
    }
}

/// A ClientHello of TLS 1.3 and 1.2 with this server name (its bytes, unchecked) and these protocols, as one record.
pub(crate) fn hello(server_name: Option<&[u8]>, alpn: &[&str]) -> Vec<u8> {
    record(server_name, alpn, &[])
}

fn record(server_name: Option<&[u8]>, alpn: &[&str], more_extensions: &[u8]) -> Vec<u8> {
    let mut extensions = more_extensions.to_vec();
    if let Some(name) = server_name {
        let entry = [&[0][..], &vector16(name)].concat();
        extensions.extend(extension(0, &vector16(&entry)));
    }
    // Groups: x25519, secp256r1.
    extensions.extend(extension(10, &[0, 4, 0, 0x1d, 0, 0x17]));
    // Signatures: ECDSA and RSA-PSS with SHA-256, RSA with SHA-256.
    extensions.extend(extension(13, &[0, 6, 4, 3, 8, 4, 4, 1]));
    extensions.extend(extension(43, &[4, 3, 4, 3, 3]));
    // A share of x25519: the base point, whose secret nobody needs.
    let mut point = [0; 32];
    point[0] = 9;
    extensions.extend(extension(51, &vector16(&[&[0, 0x1d][..], &vector16(&point)].concat())));
    if !alpn.is_empty() {
        let names: Vec<u8> =
            alpn.iter().flat_map(|name| [&[short(name.len())], name.as_bytes()].concat()).collect();
        extensions.extend(extension(16, &vector16(&names)));
    }
    // Version, random, no session, ciphers of both versions, no compression.
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    body.extend(vector16(&[0x13, 1, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f]));
    body.extend([1, 0]);
    body.extend(vector16(&extensions));
    let length = u32::try_from(body.len()).expect("a short hello").to_be_bytes();
    let handshake = [&[1, length[1], length[2], length[3]], &body[..]].concat();
    [&[22, 3, 1][..], &vector16(&handshake)].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

fn vector16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).expect("a short vector").to_be_bytes()[..], content].concat()
}

fn short(length: usize) -> u8 {
    u8::try_from(length).expect("a short name")
}
