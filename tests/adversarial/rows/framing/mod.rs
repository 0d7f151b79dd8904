//! Framing: what is Envoy's to refuse, and our configuration lets it.

mod downgrade;
mod frames;
mod lengths;
mod pipeline;
mod pseudo;
mod upgrade;

use crate::row::Row;
use crate::stage::Stage;
use crate::wire::{Reply, contains};

pub(super) fn rows() -> Vec<Row> {
    let groups = [
        lengths::rows(),
        pipeline::rows(),
        upgrade::rows(),
        pseudo::rows(),
        frames::rows(),
        downgrade::rows(),
    ];
    groups.into_iter().flatten().collect()
}

/// What would be a request of its own, if a reader could be made to take it for one.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n";

/// The attempt was refused as what is not HTTP: 400 or an ended connection or stream. Nothing went upstream.
async fn refused_as_malformed(stage: &Stage, reply: &Reply, what: &str) {
    assert!(stage.declined(reply), "{what}: {reply:?}");
    stage.refused_with_any(reply, &[0, 400, 404, 405, 413, 417, 421, 426, 431, 501]);
    stage.nothing_upstream().await;
}

/// The hidden request is not one upstream: neither taken for one, nor on an HTTP/1.1 connection at all.
fn stays_hidden(stage: &Stage, what: &str) {
    let requests = stage.world.anthropic.take_requests();
    assert!(requests.iter().all(|request| !request.path.contains("hidden")), "{what}: it came out upstream");
    let bytes = stage.world.anthropic.http1_bytes();
    assert!(!contains(&bytes, b"/hidden HTTP"), "{what}: it went upstream");
}
