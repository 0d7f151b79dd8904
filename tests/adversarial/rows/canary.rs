//! The suite proves itself before it judges: it can see a key, it reads what it must read, and what no resolver or
//! guard stands in front of can be reached.

use harness::scenario::KEY;
use tokio::net::TcpStream;

use crate::row::{EVERY, ONCE, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::wire::http2::{decode, encode};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "canary.good",
            "a good request reaches the provider with the key, which is seen there",
            EVERY,
            good,
        )
        .proved_by_itself()
        .without_control(),
        Row::new("canary.hpack", "compressed headers are read as RFC 7541 says (appendix C.6)", ONCE, hpack)
            .proved_by_itself()
            .without_control(),
        Row::new("canary.network", "the network ends at the suite's own addresses", ONCE, network)
            .proved_by_itself()
            .without_control(),
    ]
}

async fn good(stage: Stage) {
    stage.good().await;
    let reply = stage.ask(&Request::messages()).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    assert!(stage.world.anthropic.saw(KEY), "the key is at the provider, and is not seen");
    assert!(!stage.world.other.saw(KEY), "the key is seen where it is not");
}

async fn hpack(_: Stage) {
    // C.6.1, with its first field's index in the static table and its strings compressed.
    let block = [
        0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xae, 0xc3, 0x77, 0x1a, 0x4b, 0x61, 0x96, 0xd0, 0x7a, 0xbe, 0x94,
        0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b,
        0xff, 0x6e, 0x91, 0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82,
        0xae, 0x43, 0xd3,
    ];
    let expected = [
        (":status", "302"),
        ("cache-control", "private"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("location", "https://www.example.com"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    assert_eq!(decode(&block).as_deref(), Some(&expected[..]));
    let long = vec![(b"x-Long".to_vec(), vec![0xff; 40_000])];
    assert_eq!(decode(&encode(&long)), Some(long));
}

async fn network(stage: Stage) {
    let outside = TcpStream::connect("8.8.8.8:443").await;
    assert!(outside.is_err(), "an address outside the suite's network answers");
    let known = stage.world.zone.first("api.anthropic.com");
    assert_eq!(known, Some(crate::world::ip(1)));
    assert_eq!(stage.world.zone.first("unknown.example"), None);
}
