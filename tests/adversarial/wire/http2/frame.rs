//! Frames (RFC 9113, section 4.1).

/// Type of a frame.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flag of DATA and HEADERS; `ACK` of SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
/// Flag of HEADERS and CONTINUATION.
pub(crate) const END_HEADERS: u8 = 4;
/// Flags that put more in front of the content.
pub(super) const PADDED: u8 = 8;
pub(super) const HAS_PRIORITY: u8 = 0x20;

/// A frame; nothing about it need be right.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Frame {
        Frame { kind, flags, stream, payload: payload.into() }
    }

    /// Its bytes, with a length that is right.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a short frame").to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], self.kind, self.flags];
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The first frame of what was received, and its length; None while it is not whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
        let header = bytes.get(..9)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes(header[5..9].try_into().ok()?) & 0x7fff_ffff;
        let payload = bytes.get(9..9 + length)?;
        Some((Frame::new(header[3], header[4], stream, payload), 9 + length))
    }

    /// The content without padding and priority.
    pub(crate) fn content(&self) -> &[u8] {
        let mut content = &self.payload[..];
        if [DATA, HEADERS].contains(&self.kind) && self.flags & PADDED != 0 {
            let padding = usize::from(content.first().copied().unwrap_or_default());
            content = content.get(1..content.len().saturating_sub(padding)).unwrap_or_default();
        }
        if self.kind == HEADERS && self.flags & HAS_PRIORITY != 0 {
            content = content.get(5..).unwrap_or_default();
        }
        content
    }

    /// The 32-bit number that starts at this offset of the content; 0 where it does not.
    pub(super) fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    }
}
