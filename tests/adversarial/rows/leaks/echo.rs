//! L1: the provider gives the credential back in its header lines.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use harness::provider::Echo;
use harness::scenario::KEY;
use harness::search::{found, spellings};

use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::subject::{Kind, Leak};
use crate::wire::{Answer, Request};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "L1.headers",
            "the provider gives the key back in headers, in every form: scrubbed",
            EVERY,
            headers,
        )
        .proved_by(Leak::Back),
        Row::new(
            "L1.names",
            "the key in headers that mean something, with every kind of status: scrubbed",
            EVERY,
            names,
        )
        .proved_by(Leak::Back),
        Row::new(
            "L1.spellings",
            "the key in further spellings, alone and inside other text: scrubbed",
            EVERY,
            spelled,
        )
        .proved_by(Leak::Back),
        Row::new(
            "L1.repeated",
            "the key several times in a value, and in several lines: scrubbed",
            EVERY,
            repeated,
        )
        .proved_by(Leak::Back),
        Row::new(
            "L1.elsewhere",
            "the key in answers to requests that did not get it: scrubbed",
            EVERY,
            elsewhere,
        )
        .proved_by(Leak::Back),
    ]
}

/// The key stands in no line of the answer, in no spelling.
fn clean(answer: &Answer, case: &str) {
    let needles = spellings(KEY);
    for (name, value) in &answer.fields {
        let line = format!("{name}: {value}");
        assert_eq!(found(line.as_bytes(), &needles), Vec::<String>::new(), "{case}: {line}");
    }
    assert!(!answer.mentions(KEY), "{case}");
}

/// Keyward's mark stands where the key was. Others may have another, or none.
fn marked(stage: &Stage, values: &[&str]) -> bool {
    stage.subject.kind != Kind::Keyward || values.iter().any(|value| value.contains("[redacted]"))
}

async fn headers(stage: Stage) {
    for form in Echo::ALL {
        stage.world.anthropic.provider.behave(|behaviour| behaviour.echo = vec![form]);
        let reply = stage.ask(&Request::messages()).await;
        assert_eq!(reply.status(), 200, "{form:?}: {reply:?}");
        assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY], "{form:?}");
        let answer = reply.answered().expect("an answer");
        clean(answer, &format!("{form:?}"));
        let values = answer.fields.iter().map(|(_, value)| value.as_str());
        assert!(marked(&stage, &values.collect::<Vec<_>>()), "{form:?}: {answer:?}");
    }
}

/// Headers that agents, and what stands between, act on.
const LINES: [(&str, &str); 12] = [
    ("location", "https://elsewhere.example/?key=KEY#KEY"),
    ("set-cookie", "session=KEY; Path=/; Secure"),
    ("www-authenticate", "Bearer realm=\"KEY\", error=\"invalid_token\""),
    ("proxy-authenticate", "Basic realm=KEY"),
    ("link", "<https://elsewhere.example/KEY>; rel=preload"),
    ("etag", "\"KEY\""),
    ("x-request-id", "KEY"),
    ("retry-after", "KEY"),
    ("access-control-allow-origin", "https://KEY.example"),
    ("content-disposition", "attachment; filename*=UTF-8''KEY"),
    ("via", "1.1 KEY"),
    ("x-keyward-reason", "KEY"),
];

async fn names(stage: Stage) {
    let lines = LINES.map(|(name, value)| (name.to_owned(), value.replace("KEY", KEY)));
    for status in [200, 201, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503] {
        stage.world.anthropic.provider.behave(|behaviour| {
            (behaviour.status, behaviour.headers) = (Some(status), lines.to_vec());
        });
        let reply = stage.ask(&Request::messages()).await;
        assert_eq!(reply.status(), status, "{reply:?}");
        assert!(
            stage.world.anthropic.only_request().mentions(KEY),
            "{status}: the provider never had the key"
        );
        let answer = reply.answered().expect("an answer");
        clean(answer, &format!("status {status}"));
        for (name, _) in LINES {
            let values = answer.values(name);
            assert!(
                marked(&stage, &values) || name == "x-keyward-reason",
                "status {status}: {name}: {values:?}"
            );
        }
    }
}

fn percent(plain: impl Fn(usize) -> bool, upper: bool) -> String {
    let escape = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
    let one = |(at, byte): (usize, u8)| if plain(at) { char::from(byte).to_string() } else { escape(byte) };
    KEY.bytes().enumerate().map(one).collect()
}

async fn spelled(stage: Stage) {
    let unicode = |upper: bool| {
        let one = |byte: u8| if upper { format!("\\u{byte:04X}") } else { format!("\\u{byte:04x}") };
        KEY.bytes().map(one).collect::<String>()
    };
    let cases = [
        percent(|_| false, true),
        percent(|_| false, false),
        percent(|at| at % 2 == 0, true),
        format!("https://elsewhere.example/?next={}", percent(|at| at != 5, false)),
        unicode(false),
        unicode(true),
        format!("{{\"error\":\"bad key {}\"}}", unicode(false)),
        format!("Basic {}", STANDARD.encode(format!("user:{KEY}"))),
        format!("Basic {}", STANDARD.encode(format!("anthropic:{KEY}"))),
        format!("token.{}.signature", URL_SAFE_NO_PAD.encode(format!("{{\"key\":\"{KEY}\"}}"))),
        STANDARD.encode(format!("x-api-key: {KEY}\r\nhost: api.anthropic.com\r\n")),
        format!("Bearer {KEY}"),
        format!("key={KEY}"),
        format!("\"{KEY}\""),
        format!("a{KEY}z"),
    ];
    for value in cases {
        let line = ("x-note".to_owned(), value.clone());
        stage.world.anthropic.provider.behave(|behaviour| behaviour.headers = vec![line]);
        let reply = stage.ask(&Request::messages()).await;
        assert_eq!(reply.status(), 200, "{reply:?}");
        let answer = reply.answered().expect("an answer");
        clean(answer, &value);
        assert!(marked(&stage, &answer.values("x-note")), "{value}: {answer:?}");
        assert!(!answer.values("x-note").contains(&value.as_str()), "{value} came through");
    }
}

async fn repeated(stage: Stage) {
    let lines = [
        ("x-note", format!("{KEY}{KEY}")),
        ("x-note", format!("{KEY}, {KEY}, {}", STANDARD.encode(KEY))),
        ("x-note", "innocent".to_owned()),
        ("set-cookie", format!("a={KEY}")),
        ("set-cookie", format!("b={KEY}")),
        ("set-cookie", "c=innocent".to_owned()),
    ];
    let lines = lines.map(|(name, value)| (name.to_owned(), value));
    stage.world.anthropic.provider.behave(|behaviour| behaviour.headers = lines.to_vec());
    let reply = stage.ask(&Request::messages()).await;
    let answer = reply.answered().expect("an answer");
    clean(answer, "repeated");
    if stage.subject.kind != Kind::Keyward {
        return;
    }
    let notes = answer.values("x-note");
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes[0].contains("[redacted]") && notes[1].matches("[redacted]").count() == 3, "{notes:?}");
    assert_eq!(notes[2], "innocent");
    assert_eq!(answer.values("set-cookie"), ["a=[redacted]", "b=[redacted]", "c=innocent"]);
}

async fn elsewhere(stage: Stage) {
    stage.world.anthropic.provider.behave(|behaviour| {
        behaviour.headers = vec![("x-note".to_owned(), format!("key={KEY}"))];
    });
    for path in ["/v1/files", "/", "/v1/messages/"] {
        let reply = stage.ask(&Request::messages().path(path)).await;
        assert_eq!(reply.status(), 200, "{path}: {reply:?}");
        let answer = reply.answered().expect("an answer");
        clean(answer, path);
        let exact = answer.values("x-note") == ["key=[redacted]"];
        assert!(exact || stage.subject.kind != Kind::Keyward, "{path}: {answer:?}");
    }
}
