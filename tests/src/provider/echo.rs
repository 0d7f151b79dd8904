//! The forms in which a careless provider gives a credential back: as response headers, or in a body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::behaviour::Echo;
use super::log::Received;

/// Header names and values that give `credential` away in the form asked for.
pub(super) fn headers(form: Echo, credential: &str) -> Vec<(&'static str, String)> {
    match form {
        Echo::Raw => vec![("x-echo-raw", credential.to_owned())],
        Echo::Embedded => vec![("x-echo-embedded", format!("key={credential}; seen"))],
        Echo::Base64 => vec![
            ("x-echo-base64-0", STANDARD.encode(credential)),
            ("x-echo-base64-1", STANDARD.encode(format!("u{credential}"))),
            ("x-echo-base64-2", STANDARD.encode(format!("u:{credential}"))),
        ],
        Echo::Url => vec![("x-echo-url", escaped(credential, is_unreserved, |byte| format!("%{byte:02X}")))],
        Echo::Json => {
            let text = escaped(credential, |b| b.is_ascii_alphanumeric(), |byte| format!("\\u{byte:04x}"));
            vec![("x-echo-json", format!("\"{text}\""))]
        }
    }
}

/// What in a request looks like a credential, by the name of its header or parameter.
pub(super) fn credentials(request: &Received) -> Vec<&str> {
    let telling =
        |name: &str| ["key", "auth", "token"].iter().any(|part| name.to_ascii_lowercase().contains(part));
    let headers = request.headers.iter().filter(|(name, _)| telling(name)).map(|(_, value)| value.as_str());
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    headers.chain(parameters.filter(|(name, _)| telling(name)).map(|(_, value)| value)).collect()
}

/// Path and header lines of a request in these forms: a JSON string on each line.
pub(super) fn confession(forms: &[Echo], request: &Received) -> String {
    let received = request.headers.iter().map(|(_, value)| value).chain([&request.path]);
    let told = received.flat_map(|text| forms.iter().map(move |form| (*form, text)));
    let lines = told.flat_map(|(form, text)| {
        headers(form, text).into_iter().map(move |(_, told)| match form {
            // It is one already.
            Echo::Json => told,
            _ => serde_json::Value::from(told).to_string(),
        })
    });
    lines.map(|line| line + "\n").collect()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn escaped(text: &str, plain: impl Fn(u8) -> bool, escape: impl Fn(u8) -> String) -> String {
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { escape(byte) }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Echo, confession, credentials, headers};
    use crate::provider::Received;

    #[test]
    fn each_form_carries_the_credential_in_its_own_spelling() {
        let spelled = |form| headers(form, "sk-a/b").remove(0).1;
        assert_eq!(spelled(Echo::Raw), "sk-a/b");
        assert_eq!(spelled(Echo::Url), "sk-a%2Fb");
        assert_eq!(spelled(Echo::Json), "\"sk\\u002da\\u002fb\"");
        assert_eq!(spelled(Echo::Base64), "c2stYS9i");
        assert_eq!(headers(Echo::Base64, "sk-a/b").len(), 3);
    }

    #[test]
    fn what_looks_like_a_credential_is_found_and_a_confession_holds_everything() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let request = Received {
            connection: 0,
            version: "HTTP/2.0".into(),
            method: "GET".into(),
            authority: "a.example".into(),
            path: "/v1?x=1&key=sk-q".into(),
            headers: vec![header("Authorization", "Bearer sk-b"), header("accept", "a\"b")],
            trailers: Vec::new(),
            body: Vec::new(),
        };
        assert_eq!(credentials(&request), ["Bearer sk-b", "sk-q"]);
        let told = confession(&[Echo::Raw, Echo::Json], &request);
        let lines: Vec<String> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let whole = ["Bearer sk-b", "\u{61}\"b", "/v1?x=1&key=sk-q"];
        assert_eq!(lines, whole.into_iter().flat_map(|text| [text, text]).collect::<Vec<_>>());
    }
}
