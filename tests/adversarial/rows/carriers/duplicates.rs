//! H1: the header of the credential, more than once, under other spellings, with values that are hard to read.

use harness::scenario::PLACEHOLDER;

use super::{Fate, OWN, check};
use crate::row::{EVERY, HTTP2, Row};
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("H1.lines", "the name several times, in several cases: one value, ours", EVERY, lines),
        Row::new("H1.underscore", "`_` for `-` in the name, as CGI reads it: taken off", EVERY, underscore),
        Row::new(
            "H1.values",
            "empty, joined, quoted, 8-bit and long values: one value, ours, or a refusal",
            EVERY,
            values,
        ),
        Row::new("H1.controls", "control bytes in the value: refused", EVERY, controls),
        Row::new("H1.breaks", "line breaks inside a value of HTTP/2: refused", HTTP2, breaks),
        Row::new("H1.upper", "upper case in a name of HTTP/2, which has none: refused", HTTP2, upper),
    ]
}

/// A good request with these further lines.
fn with(fields: &[(&str, &[u8])]) -> Request {
    fields.iter().fold(Request::messages(), |request, (name, value)| request.field(name, value))
}

async fn lines(stage: Stage) {
    for names in [
        &["x-api-key"][..],
        &["X-API-KEY"],
        &["x-api-key", "x-api-key"],
        &["X-Api-Key", "x-api-key", "X-API-KEY", "x-aPi-kEy"],
    ] {
        let fields: Vec<_> = names.iter().map(|name| (*name, OWN.as_bytes())).collect();
        check(&stage, &format!("{names:?}"), &stage.ask(&with(&fields)).await, Fate::Served).await;
    }
    for pair in [[PLACEHOLDER, OWN], [OWN, PLACEHOLDER], ["", OWN]] {
        let fields = pair.map(|value| ("x-api-key", value.as_bytes()));
        check(&stage, &format!("{pair:?}"), &stage.ask(&with(&fields)).await, Fate::Served).await;
    }
    let many: Vec<_> = std::iter::repeat_n(("x-api-key", OWN.as_bytes()), 60).collect();
    check(&stage, "sixty lines", &stage.ask(&with(&many)).await, Fate::Served).await;
}

async fn underscore(stage: Stage) {
    for name in ["x_api_key", "X_API_KEY", "x-api_key", "x_api-key"] {
        let alone = with(&[(name, OWN.as_bytes())]);
        check(&stage, name, &stage.ask(&alone).await, Fate::Served).await;
        let beside = with(&[("x-api-key", PLACEHOLDER.as_bytes()), (name, OWN.as_bytes())]);
        check(&stage, &format!("{name} beside it"), &stage.ask(&beside).await, Fate::Served).await;
    }
}

async fn values(stage: Stage) {
    let joined = format!("{PLACEHOLDER}, {OWN}");
    let (long, too_long) = ("k".repeat(16 << 10), "k".repeat(70 << 10));
    let cases: [(&str, &[u8], Fate); 12] = [
        ("empty", b"", Fate::Served),
        ("blank", b"   ", Fate::Served),
        ("joined", joined.as_bytes(), Fate::Served),
        ("a comma first", b", sk-agents-own-account-0123456789", Fate::Served),
        ("quoted", b"\"sk-agents-own-account-0123456789\"", Fate::Served),
        ("a tab inside", b"sk-agents-own\taccount", Fate::Served),
        ("a tab at each end", b"\tsk-agents-own-account-0123456789\t", Fate::Served),
        ("Latin-1", b"sk-schl\xfcssel", Fate::Served),
        ("not UTF-8", b"sk-\xff\xfe\xc0\xaf", Fate::Served),
        ("UTF-8", "sk-schlüssel-\u{202e}".as_bytes(), Fate::Served),
        ("long", long.as_bytes(), Fate::Served),
        ("longer than all headers may be", too_long.as_bytes(), Fate::Refused(&[0, 431])),
    ];
    for (case, value, fate) in cases {
        check(&stage, case, &stage.ask(&with(&[("x-api-key", value)])).await, fate).await;
    }
}

async fn controls(stage: Stage) {
    for value in ["sk-own\0OWN", "sk-own\x7fOWN", "sk-own\x01OWN"] {
        let reply = stage.ask(&with(&[("x-api-key", value.replace("OWN", OWN).as_bytes())])).await;
        check(&stage, &format!("{value:?}"), &reply, Fate::Refused(&[0, 400])).await;
    }
}

async fn breaks(stage: Stage) {
    for value in ["a\nx-api-key: OWN", "a\r\nx-api-key: OWN", "a\rx-api-key: OWN", "a\r\n\r\nx-api-key: OWN"]
    {
        for name in ["x-other", "x-api-key"] {
            let reply = stage.ask(&with(&[(name, value.replace("OWN", OWN).as_bytes())])).await;
            check(&stage, &format!("{name}: {value:?}"), &reply, Fate::Refused(&[0, 400])).await;
        }
    }
}

async fn upper(stage: Stage) {
    for name in ["X-Api-Key", "x-api-keY", "X_API_KEY"] {
        let Ok(mut http) = stage.http2().await else { panic!("no connection") };
        let request = Request::messages();
        let mut fields = request.to_http2();
        fields.push((name.into(), OWN.into()));
        let stream = http.open(&fields, true).await;
        check(&stage, name, &http.answer(stream).await.into(), Fate::Refused(&[0, 400])).await;
    }
}
