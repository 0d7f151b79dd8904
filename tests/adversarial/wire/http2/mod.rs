//! HTTP/2 by hand: any frames go out, answers come in.

mod frame;
mod hpack;
mod huffman;
mod session;

pub(crate) use frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
pub(crate) use hpack::{decode, encode};
pub(crate) use session::{PREFACE, Session};
