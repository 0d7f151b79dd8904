//! H1: lines of HTTP/1.1 that two readers may read in two ways, towards providers of either protocol.

use harness::scenario::KEY;

use super::{Fate, OWN, check};
use crate::row::{HTTP1, Row};
use crate::rows::leaks::{Upstream, scripted_scenario};
use crate::stage::Stage;
use crate::wire::{Request, contains};
use crate::world::Lines;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("H1.fold", "a value or a name on a continued line: ours alone, or a refusal", HTTP1, fold),
        Row::new("H1.name", "a name with something between it and its colon: refused", HTTP1, name),
        Row::new("H1.bare", "lines that end with LF or CR alone: ours alone, or a refusal", HTTP1, bare),
        Row::new(
            "H1.forwarded",
            "continued lines and bare CR towards a provider of HTTP/1.1: no line of the agent's making",
            HTTP1,
            forwarded,
        )
        .under(scripted_scenario()),
    ]
}

/// A good request to a host, with these bytes before its other header lines.
fn with(host: &str, lines: &str) -> Vec<u8> {
    let request =
        String::from_utf8(Request::messages().authority(host).to_http1()).expect("a request in UTF-8");
    request.replacen("\r\n", &format!("\r\n{}", lines.replace("OWN", OWN)), 1).into_bytes()
}

async fn attempt(stage: &Stage, lines: &str, fate: Fate) {
    let reply = stage.ask_bytes(&with(harness::gateway::HOST, lines)).await;
    check(stage, &format!("{lines:?}"), &reply, fate).await;
}

async fn fold(stage: Stage) {
    for (lines, fate) in [
        ("x-api-key: a\r\n OWN\r\n", Fate::Served),
        ("x-api-key: a\r\n\tOWN\r\n", Fate::Served),
        ("x-api-key:\r\n OWN\r\n", Fate::Served),
        ("x_api_key: a\r\n OWN\r\n", Fate::Served),
        ("authorization: Bearer\r\n OWN\r\n", Fate::Served),
        (" x-api-key: OWN\r\n", Fate::Refused(&[400])),
    ] {
        attempt(&stage, lines, fate).await;
    }
}

async fn name(stage: Stage) {
    attempt(&stage, "x-api-key:OWN\r\n", Fate::Served).await;
    for lines in [
        "x-api-key : OWN\r\n",
        "x-api-key\t: OWN\r\n",
        "x-api-key\0: OWN\r\n",
        "x-api-key\u{b}: OWN\r\n",
        "x-api-key,: OWN\r\n",
        "x-api-key;: OWN\r\n",
        "\"x-api-key\": OWN\r\n",
        "x-api-key\u{ad}: OWN\r\n",
        "x api-key: OWN\r\n",
        "x-api-key OWN\r\n",
        ":x-api-key: OWN\r\n",
        ": OWN\r\n",
    ] {
        attempt(&stage, lines, Fate::Refused(&[400])).await;
    }
}

async fn bare(stage: Stage) {
    for (lines, fate) in [
        ("x-other: a\nx-api-key: OWN\r\n", Fate::Served),
        ("x-api-key: OWN\n", Fate::Served),
        ("x-api-key: a\rOWN\r\n", Fate::Served),
        ("x-api-key: OWN\r\r\n", Fate::Served),
    ] {
        attempt(&stage, lines, fate).await;
    }
}

async fn forwarded(stage: Stage) {
    let answer = Lines::Http1(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
    let upstream = Upstream::start(&stage, answer).await;
    for lines in [
        "x-api-key: a\r\n OWN\r\n",
        "x-other: a\r\n x-api-key: OWN\r\n",
        "x-other: a\r\n\tx-api-key: OWN\r\n",
        "x-other: a\rx-api-key: OWN\r\n",
        "x-other: a\r x-api-key: OWN\r\n",
        "x-other: a\nx-api-key: OWN\r\n",
        "x-other: a\r\r\nx-api-key: OWN\r\n",
    ] {
        let reply = upstream.ask_bytes(&stage, &with(upstream.host, lines)).await;
        let received = upstream.script.take();
        assert!(reply.is_refusal() || contains(&received, KEY.as_bytes()), "{lines:?}: {reply:?}");
        assert!(!reply.is_refusal() || received.is_empty(), "{lines:?}: {reply:?}, and it went upstream");
        // Whatever the reader upstream takes for the end of a line, none starts with the agent's value.
        let text = String::from_utf8_lossy(&received).into_owned();
        for line in text.split(['\r', '\n']) {
            let name = line.trim_start().split(':').next().unwrap_or_default();
            let own = name.eq_ignore_ascii_case("x-api-key") && line.contains(OWN) || line.trim() == OWN;
            assert!(!own, "{lines:?}: the provider received the line {line:?}");
        }
    }
}
