//! Delta ADS messages out of the bytes of a connection: gRPC messages in the DATA frames of HTTP/2 (RFC 9113,
//! sections 3.4, 4.1 and 6.1). Headers are not looked at: there is one method on this socket.

use std::collections::BTreeMap;

use controller::xds::Kind;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use prost::Message;

/// What a client sends before its first frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length (3 bytes), type, flags, stream (4 bytes).
const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const PADDED: u8 = 8;
/// Compression flag, length (4 bytes).
const MESSAGE_HEAD: usize = 5;

/// One direction of a connection.
pub(super) struct Decoder {
    /// How much of the client's preface is still to come.
    preface: usize,
    bytes: Vec<u8>,
    messages: BTreeMap<u32, Vec<u8>>,
}

impl Decoder {
    /// What a client says.
    pub(super) fn of_client() -> Decoder {
        Decoder { preface: PREFACE.len(), ..Decoder::of_server() }
    }

    /// What a server says.
    pub(super) fn of_server() -> Decoder {
        Decoder { preface: 0, bytes: Vec::new(), messages: BTreeMap::new() }
    }

    /// Takes bytes in and returns the messages that are whole now.
    pub(super) fn take<M: Message + Default>(&mut self, bytes: &[u8]) -> Vec<M> {
        let skipped = self.preface.min(bytes.len());
        self.preface -= skipped;
        self.bytes.extend_from_slice(&bytes[skipped..]);
        let mut whole = Vec::new();
        while let Some((stream, data)) = self.frame() {
            let buffer = self.messages.entry(stream).or_default();
            buffer.extend_from_slice(&data);
            whole.extend(std::iter::from_fn(|| message(buffer)));
        }
        whole
    }

    /// The next whole DATA frame.
    fn frame(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            let head: [u8; FRAME_HEAD] = self.bytes.get(..FRAME_HEAD)?.try_into().ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
            let payload = self.bytes.get(FRAME_HEAD..FRAME_HEAD + length)?.to_vec();
            self.bytes.drain(..FRAME_HEAD + length);
            if head[3] == DATA {
                let padding = if head[4] & PADDED == 0 { 0 } else { usize::from(payload[0]) + 1 };
                let start = usize::from(padding > 0);
                return Some((stream, payload[start..payload.len() - padding.saturating_sub(1)].to_vec()));
            }
        }
    }
}

fn message<M: Message + Default>(buffer: &mut Vec<u8>) -> Option<M> {
    let head: [u8; MESSAGE_HEAD] = buffer.get(..MESSAGE_HEAD)?.try_into().ok()?;
    assert_eq!(head[0], 0, "a compressed message");
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let body = buffer.get(MESSAGE_HEAD..MESSAGE_HEAD + length)?;
    let decoded = M::decode(body).expect("a discovery message");
    buffer.drain(..MESSAGE_HEAD + length);
    Some(decoded)
}

/// What one side said, on which connection.
pub(super) struct Said {
    /// Number of the connection, from 0.
    pub(super) connection: usize,
    /// The message.
    pub(super) what: What,
}

/// A message.
pub(super) enum What {
    /// Envoy's.
    Request(Box<DeltaDiscoveryRequest>),
    /// The controller's.
    Response(DeltaDiscoveryResponse),
}

impl Said {
    /// The request, if it is one of this type.
    pub(super) fn request(&self, kind: Kind) -> Option<&DeltaDiscoveryRequest> {
        match &self.what {
            What::Request(request) if request.type_url == kind.url() => Some(request),
            _ => None,
        }
    }

    /// The response, if it is one of this type.
    pub(super) fn response(&self, kind: Kind) -> Option<&DeltaDiscoveryResponse> {
        match &self.what {
            What::Response(response) if response.type_url == kind.url() => Some(response),
            _ => None,
        }
    }

    /// Whether Envoy asks for this name.
    pub(super) fn asks_for(&self, kind: Kind, name: &str) -> bool {
        self.request(kind).is_some_and(|request| has(&request.resource_names_subscribe, name))
    }

    /// Whether Envoy takes this name back.
    pub(super) fn gives_up(&self, kind: Kind, name: &str) -> bool {
        self.request(kind).is_some_and(|request| has(&request.resource_names_unsubscribe, name))
    }

    /// Whether the controller sends this name.
    pub(super) fn sends(&self, kind: Kind, name: &str) -> bool {
        let sent = |response: &DeltaDiscoveryResponse| response.resources.iter().any(|it| it.name == name);
        self.response(kind).is_some_and(sent)
    }

    /// Whether the controller says that this name does not exist.
    pub(super) fn removes(&self, kind: Kind, name: &str) -> bool {
        self.response(kind).is_some_and(|response| has(&response.removed_resources, name))
    }

    /// Whether Envoy answers the response with this nonce, for good or ill.
    pub(super) fn answers(&self, kind: Kind, nonce: &str) -> bool {
        self.request(kind).is_some_and(|request| request.response_nonce == nonce)
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|it| it == name)
}
