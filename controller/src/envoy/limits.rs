//! What one agent, one connection and one stream may hold. `docs/limits.md` has the table, with the reasons.
//!
//! Values that are Envoy's own defaults are written out, so that another Envoy cannot change them unseen.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;

use super::any::{boolean, duration, number};

/// Bytes of a head, request and response alike, in KiB.
pub(super) const HEAD_KIB: u32 = 60;
/// Header lines of a head, request and response alike.
const HEADERS: u32 = 100;
/// Longest time between the first and the last byte of a request's head.
pub(super) const HEAD_TIMEOUT: u64 = 10;
/// Longest silence of a connection without a request, towards agents and towards upstreams.
const IDLE: Duration = Duration::from_mins(5);
/// How many times the longest silence a request may take to arrive whole.
const UPLOAD_FACTOR: u32 = 4;
/// Bytes that a connection may hold back, in each direction, before its sender is told to wait.
pub(super) const BUFFER: u32 = 256 << 10;

/// Connections a second that are intercepted for names that no route has; as many more at once.
pub(super) const OPEN_NAMES: u32 = 200;

/// The longest answer of a collector. What it says of spans that it refuses takes a few hundred bytes.
pub(super) const COLLECTOR_ANSWER_BYTES: u32 = 64 << 10;

/// Streams at once on a connection of an agent.
const STREAMS: u32 = 100;
/// Envoy's default of 16 MiB a stream would let one agent buffer that much for each of its streams.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Streams at once on a connection to an upstream, which agents share. All of them together fit into the
/// connection's window: agents that do not read their answers cannot keep others from theirs.
const UPSTREAM_STREAMS: u32 = 64;
const UPSTREAM_STREAM_WINDOW: u32 = 512 << 10;
const UPSTREAM_CONNECTION_WINDOW: u32 = UPSTREAM_STREAMS * UPSTREAM_STREAM_WINDOW;

/// Longest silence of a connection without a request.
pub(super) fn idle(silence: Duration) -> Duration {
    silence.min(IDLE)
}

/// Longest silence of a connection on its way to the interception listener, whose own limits come first.
pub(super) fn intercepted(silence: Duration) -> Duration {
    silence.saturating_mul(2)
}

/// Longest time for a request to arrive whole, so that a body that trickles ends too.
pub(super) fn upload(silence: Duration) -> Duration {
    silence.saturating_mul(UPLOAD_FACTOR)
}

/// Towards agents.
pub(super) fn downstream(silence: Duration) -> core::HttpProtocolOptions {
    core::HttpProtocolOptions {
        idle_timeout: duration(idle(silence)),
        max_headers_count: number(HEADERS),
        ..Default::default()
    }
}

/// Towards upstreams.
pub(super) fn upstream() -> core::HttpProtocolOptions {
    core::HttpProtocolOptions {
        idle_timeout: duration(IDLE),
        max_headers_count: number(HEADERS),
        max_response_headers_kb: number(HEAD_KIB),
        ..Default::default()
    }
}

/// HTTP/2 towards agents.
pub(super) fn downstream_http2() -> core::Http2ProtocolOptions {
    core::Http2ProtocolOptions {
        max_concurrent_streams: number(STREAMS),
        initial_stream_window_size: number(STREAM_WINDOW),
        initial_connection_window_size: number(CONNECTION_WINDOW),
        ..against_floods()
    }
}

/// HTTP/2 towards upstreams.
pub(super) fn upstream_http2() -> core::Http2ProtocolOptions {
    core::Http2ProtocolOptions {
        max_concurrent_streams: number(UPSTREAM_STREAMS),
        initial_stream_window_size: number(UPSTREAM_STREAM_WINDOW),
        initial_connection_window_size: number(UPSTREAM_CONNECTION_WINDOW),
        ..against_floods()
    }
}

/// Frames that cost us more than their sender. Beyond any of these the connection ends.
fn against_floods() -> core::Http2ProtocolOptions {
    core::Http2ProtocolOptions {
        max_outbound_frames: number(10_000),
        max_outbound_control_frames: number(1_000),
        max_consecutive_inbound_frames_with_empty_payload: number(1),
        max_inbound_priority_frames_per_stream: number(100),
        max_inbound_window_update_frames_per_data_frame_sent: number(10),
        override_stream_error_on_invalid_http_message: boolean(false),
        ..Default::default()
    }
}
