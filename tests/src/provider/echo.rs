//! The forms in which a careless provider gives a credential back, as response headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::behaviour::Echo;

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

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn escaped(text: &str, plain: impl Fn(u8) -> bool, escape: impl Fn(u8) -> String) -> String {
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { escape(byte) }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Echo, headers};

    #[test]
    fn each_form_carries_the_credential_in_its_own_spelling() {
        let spelled = |form| headers(form, "sk-a/b").remove(0).1;
        assert_eq!(spelled(Echo::Raw), "sk-a/b");
        assert_eq!(spelled(Echo::Url), "sk-a%2Fb");
        assert_eq!(spelled(Echo::Json), "\"sk\\u002da\\u002fb\"");
        assert_eq!(spelled(Echo::Base64), "c2stYS9i");
        assert_eq!(headers(Echo::Base64, "sk-a/b").len(), 3);
    }
}
