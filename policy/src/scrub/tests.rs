//! Every form in which a credential comes back, and values that only look like it.

use super::*;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const KEY: &str = "sk-ant?/~é\"\\key>0123456789";

fn scrubber(value: &str) -> Scrubber {
    Scrubber::new(vec![Rc::new(Live::new(Secret::new(value.as_bytes().to_vec())))])
}

fn scrubbed(secret: &str, value: &str) -> Option<String> {
    scrubber(secret).scrub(value.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn percent(text: &str, lower: bool, keep: fn(u8) -> bool) -> String {
    text.bytes()
        .map(|b| match (keep(b), lower) {
            (true, _) => char::from(b).to_string(),
            (_, true) => format!("%{b:02x}"),
            (_, false) => format!("%{b:02X}"),
        })
        .collect()
}

#[test]
fn escaped_forms_are_found_and_their_surroundings_kept() {
    let json = serde_json::to_string(KEY).unwrap();
    let json = json.trim_matches('"');
    let forms = [
        KEY.to_owned(),
        percent(KEY, false, |b| b.is_ascii_alphanumeric()),
        percent(KEY, true, |b| b.is_ascii_alphanumeric()),
        percent(KEY, false, |b| b.is_ascii_alphanumeric() || b"-/~".contains(&b)),
        percent(KEY, true, |_| false),
        json.to_owned(),
        json.replace('/', "\\/"),
        json.replace('é', "\\u00e9").replace('>', "\\u003E"),
        percent(json, false, |b| b.is_ascii_alphanumeric()),
    ];
    for form in forms {
        let value = format!("https://a.example/?k={form}&x=%41\\n");
        assert_eq!(
            scrubbed(KEY, &value).as_deref(),
            Some("https://a.example/?k=[redacted]&x=%41\\n"),
            "{form}"
        );
    }
}

#[test]
fn characters_beyond_the_first_plane_are_found_as_the_two_units_that_json_escapes_them_to() {
    let secret = "sk-😀-0123456789";
    for form in ["sk-\\ud83d\\ude00-0123456789", "sk-\\uD83D\\uDE00-01234567\\u00389"] {
        assert_eq!(scrubbed(secret, &format!("[\"{form}\"]")).as_deref(), Some("[\"[redacted]\"]"), "{form}");
    }
    for other in ["sk-\\ud83d-0123456789", "sk-\\ude00\\ud83d-0123456789", "sk-\\ud83d\\u0041-0123456789"] {
        assert_eq!(scrubbed(secret, other), None, "{other}");
    }
}

#[test]
fn base64_forms_are_found_in_each_alphabet_and_alignment() {
    for before in ["", "u", "us", "use", "user:"] {
        for after in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{KEY}{after}");
            for encoded in [BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)] {
                let got = scrubbed(KEY, &format!("Basic {encoded}")).unwrap();
                assert!(got.contains("[redacted]"), "{got}");
                assert!(!before.is_empty() || got.starts_with("Basic [redacted]"), "{got}");
                // What is left of the encoding around the mark: the neighbours, and at most two shared characters.
                let left = got.len() - "Basic [redacted]".len();
                assert!(left <= (before.len() + after.len()) * 4 / 3 + 6, "{got}");
            }
        }
    }
}

#[test]
fn whole_and_bare_values_of_a_scheme_are_found() {
    let table = [
        ("Bearer sk-0123456789", "Bearer sk-0123456789", "[redacted]"),
        ("Bearer sk-0123456789", "token=sk-0123456789;", "token=[redacted];"),
        ("sk-0123456789", "Bearer sk-0123456789", "Bearer [redacted]"),
        ("sk-0123456789", "sk-0123456789sk-0123456789", "[redacted][redacted]"),
        (" sk-0123456789 ", "sk-0123456789", "[redacted]"),
        ("12345678", "12345678", "[redacted]"),
        ("Bearer sk-01234", "sk-01234", "[redacted]"),
    ];
    for (secret, value, expected) in table {
        assert_eq!(scrubbed(secret, value).as_deref(), Some(expected), "{value}");
    }
}

#[test]
fn a_header_with_several_values_keeps_the_innocent_ones() {
    let headers: HeaderMap = [
        (":status", "200"),
        ("set-cookie", "a=1"),
        ("location", "/?k=sk-0123456789"),
        ("set-cookie", "k=sk-0123456789"),
        ("set-cookie", "again=sk-0123456789"),
    ]
    .into_iter()
    .collect();
    let rewrite = |name: &str, values: &[&str]| Rewrite {
        name: name.as_bytes().to_vec(),
        values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
    };
    let expected = [
        rewrite("location", &["/?k=[redacted]"]),
        rewrite("set-cookie", &["a=1", "k=[redacted]", "again=[redacted]"]),
    ];
    assert_eq!(scrubber("sk-0123456789").rewrite(&headers), expected);
    assert_eq!(scrubber("sk-9876543210").rewrite(&headers), []);
}

#[test]
fn a_header_whose_name_holds_the_credential_goes_whatever_its_case() {
    let headers: HeaderMap =
        [("x-for-sk-abc0123456-only", "1"), ("content-type", "a"), ("x-for-sk-abc0123456-only", "2")]
            .into_iter()
            .collect();
    let gone = Rewrite { name: b"x-for-sk-abc0123456-only".to_vec(), values: Vec::new() };
    assert_eq!(scrubber("sk-ABC0123456").rewrite(&headers), [gone]);
    for (name, expected) in [
        ("sk-abc0123456", true),
        ("SK-Abc0123456", true),
        ("x-sk%2dabc0123456", true),
        ("sk-abc012345", false),
        ("content-type", false),
        ("", false),
    ] {
        assert_eq!(scrubber("sk-ABC0123456").is_in_name(name.as_bytes()), expected, "{name}");
        assert_eq!(
            scrubber("Bearer sk-ABC0123456").is_in_name(name.as_bytes()),
            expected,
            "{name}, behind a scheme"
        );
    }
}

#[test]
fn innocent_values_are_left_alone() {
    for value in
        ["", "sk-", "text/html; charset=utf-8", "sk-012345678", "%73%6", "\\", "\\u00", "%", "SK-0123456789"]
    {
        assert_eq!(scrubbed("sk-0123456789", value), None, "{value}");
    }
    // After a scheme, seven characters are too few to look for alone.
    assert_eq!(scrubbed("Bearer sk-0123", "token=sk-0123;"), None);
    assert_eq!(Scrubber::default().scrub(b"sk-0123456789"), None);
}

/// What goes out of a body that comes in these pieces, by the rule that a piece with an open end waits for the next.
fn passed(secret: &str, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        held.extend_from_slice(piece);
        let ended = index + 1 == pieces.len();
        if !scrubber(secret).mask(&mut held, ended).open {
            passed.push(std::mem::take(&mut held));
        }
    }
    assert_eq!(held, b"", "all of it goes out");
    passed
}

#[test]
fn what_is_masked_keeps_its_length() {
    let table = [
        ("sk-0123456789", "a sk-0123456789 b", "a [redacted]*** b"),
        ("12345678", "12345678", "********"),
        ("sk-0123456789", "sk-0123456789sk-0123456789", "[redacted]***[redacted]***"),
        ("sk-0123456789", "%73k-0123456789", "[redacted]*****"),
        ("sk-0123456789", "nothing", "nothing"),
        // All that is left of one that the end cut off.
        ("sk-0123456789", "see sk-01234", "see ********"),
        ("sk-0123456789", "see sk-0123", "see sk-0123"),
    ];
    for (secret, body, expected) in table {
        let got = passed(secret, &[body.as_bytes()]).concat();
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}

#[test]
fn a_piece_waits_only_where_it_ends_within_what_may_be_the_credential() {
    let open = |end: &str| scrubber("sk-0123456789").mask(&mut end.as_bytes().to_vec(), false).open;
    for end in [
        "s",
        "sk-012345678",
        "a s",
        "%",
        "%7",
        "x\\",
        "\\u",
        "\\u007",
        "%5",
        "%5C",
        "%5cu00",
        "%5cu00%37",
        "\\ud83d",
        "\\uD83D\\",
        "\\ud83d\\ude0",
        "c2stMDEyMzQ1Njc",
    ] {
        assert!(open(end), "{end}");
    }
    for end in [
        "",
        "}\n\n",
        "data: {\"text\":\"hi\\n\"}\n\n",
        "sk-0123456789",
        "sk-x",
        "100% ",
        "\\u0073 ",
        "\\ud83d\\u",
        "\n",
    ] {
        assert_eq!(open(end), end.ends_with("\\u"), "{end}");
    }
    let events = [&b"data: {\"k\":\"sk-0123"[..], b"456789\"}\n\n", b"data: s\n\n", b"s", b"k"];
    let expected = [&b"data: {\"k\":\"[redacted]***\"}\n\n"[..], b"data: s\n\n", b"sk"].map(<[u8]>::to_vec);
    assert_eq!(passed("sk-0123456789", &events), expected);
}

mod properties {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use proptest::prelude::*;

    fn survives(secret: &str, value: &[u8]) -> bool {
        let decoded = percent_decode(value);
        let plain =
            [value, &decoded].iter().any(|text| memchr::memmem::find(text, secret.as_bytes()).is_some());
        let encoded = (0..3).any(|offset| {
            let text = format!("{}{secret}", "\0".repeat(offset));
            let own = (offset * 8).div_ceil(6)..text.len() * 8 / 6;
            [BASE64_STANDARD.encode(&text), BASE64_URL_SAFE.encode(&text)]
                .iter()
                .any(|form| memchr::memmem::find(value, &form.as_bytes()[own.clone()]).is_some())
        });
        plain || encoded
    }

    fn percent_decode(value: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut rest = value;
        while let [first, tail @ ..] = rest {
            let (byte, after) = if *first == b'%' { escape_or(tail) } else { (*first, tail) };
            decoded.push(byte);
            rest = after;
        }
        decoded
    }

    fn escape_or(tail: &[u8]) -> (u8, &[u8]) {
        crate::path::escape(tail).unwrap_or((b'%', tail))
    }

    proptest! {
        #[test]
        fn no_form_of_the_secret_survives(
            secret in "[!-~]{8,40}", before in "[ -~]{0,9}", after in "[ -~]{0,9}", form in 0..6usize,
        ) {
            let inner = format!("{before}{secret}{after}");
            let value = match form {
                0 => inner,
                1 => percent(&inner, false, |b| b.is_ascii_alphanumeric()),
                2 => percent(&inner, true, |_| false),
                3 => BASE64_STANDARD.encode(&inner),
                4 => BASE64_URL_SAFE.encode(&inner),
                _ => serde_json::to_string(&inner).unwrap(),
            };
            let got = scrubber(&secret).scrub(value.as_bytes());
            prop_assert!(got.is_some(), "not found");
            prop_assert!(!survives(&secret, &got.unwrap()));
        }

        #[test]
        fn values_that_share_no_run_with_the_secret_are_untouched(
            secret in "[A-M]{8,40}", value in prop::collection::vec(0x4eu8..0x5a, 0..200),
        ) {
            prop_assert_eq!(scrubber(&secret).scrub(&value), None);
        }

        /// However the body is cut into pieces, and however the credential is written in it.
        #[test]
        fn no_form_of_the_secret_survives_in_a_body(
            secret in "[!-~]{8,40}", before in "[ -~]{0,9}", after in "[ -~]{0,9}", form in 0..7usize,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let inner = format!("{before}{secret}{after}");
            let escaped = |text: &str| text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            let body = match form {
                0 => inner,
                1 => percent(&inner, false, |b| b.is_ascii_alphanumeric()),
                2 => percent(&inner, true, |_| false),
                3 => BASE64_STANDARD.encode(&inner),
                4 => BASE64_URL_SAFE.encode(&inner),
                5 => percent(&escaped(&inner), true, |b| b.is_ascii_digit()),
                _ => escaped(&inner),
            };
            let mut at: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let pieces: Vec<_> = at.windows(2).map(|pair| &body.as_bytes()[pair[0]..pair[1]]).collect();
            let whole = scrubber(&secret).scrub(body.as_bytes());
            let got = passed(&secret, &pieces).concat();
            prop_assert!(whole.is_some());
            prop_assert_eq!(got.len(), body.len());
            prop_assert!(scrubber(&secret).scrub(&got).is_none(), "{:?}", String::from_utf8_lossy(&got));
            prop_assert!(!survives(&secret, &got));
        }

        #[test]
        fn no_bytes_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = scrubber("sk-0123456789").scrub(&value);
            let _ = scrubber("sk-0123456789").mask(&mut value.clone(), false);
        }
    }
}
