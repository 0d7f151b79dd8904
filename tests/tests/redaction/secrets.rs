//! What must be seen nowhere: the values of an example's Secrets, and what is made of them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::google::{Account, Key, TokenEndpoint};
use harness::provider::Received;
use harness::search::Search;
use ring::hmac;

use super::requests::OWN;

/// Secrets by name. None of them is ever printed.
#[derive(Default)]
pub(crate) struct Secrets(BTreeMap<String, Vec<u8>>);

impl Secrets {
    pub(crate) fn add(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.0.insert(name.into(), value.as_ref().to_vec());
    }

    /// The values of these variables, in this generation of them.
    pub(crate) fn add_given(&mut self, variables: &[String], generation: &str) {
        for variable in variables {
            let name = format!("{variable} ({generation})");
            match variable.as_str() {
                "KEY_FILE" => self.add_key(&name, key_of(generation)),
                "GIT_BASIC" => {
                    self.add(format!("{name}, decoded"), password(generation));
                    self.add(name, value(variable, generation));
                }
                _ => self.add(name, value(variable, generation)),
            }
        }
    }

    /// The lines of a private key, and the bytes that each stands for.
    fn add_key(&mut self, name: &str, key: Key) {
        for (index, line) in key.lines().into_iter().enumerate() {
            self.add(format!("line {index} of {name}"), line);
            // A line of a key file is whole groups; the last one may be short.
            let bytes = STANDARD.decode(line).expect("base64");
            if bytes.len() >= 32 {
                self.add(format!("bytes of line {index} of {name}"), bytes);
            }
        }
    }

    /// What a provider's requests were signed with: signatures, and the keys that are derived for them.
    pub(crate) fn add_signed(&mut self, generation: &str, received: &[Received]) {
        for (index, request) in received.iter().enumerate() {
            let Some(signed) = request.values("authorization").into_iter().find_map(Signed::read) else {
                continue;
            };
            let key = signed.key(&value("AWS_SECRET_ACCESS_KEY", generation));
            self.add(format!("AWS signing key of {} ({generation})", signed.scope.join("/")), key);
            self.add(format!("signature {index} ({generation})"), signed.signature);
        }
    }

    /// The tokens that an endpoint gave out.
    pub(crate) fn add_tokens(&mut self, endpoint: &TokenEndpoint) {
        for (index, token) in endpoint.tokens().iter().enumerate() {
            self.add(format!("token {index} of Google"), token);
        }
    }

    /// What an agent sends of its own.
    pub(crate) fn add_own(&mut self) {
        self.add("the agent's own key", OWN);
    }

    pub(crate) fn search(&self) -> Search {
        Search::of(self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The first values that an example gets.
pub(crate) const FIRST: &str = "first";

/// What one of them is changed to.
pub(crate) const SECOND: &str = "second";

/// The value of a variable: different for each, with characters that other spellings escape.
pub(crate) fn value(variable: &str, generation: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{variable} {generation}").as_bytes());
    let text = STANDARD.encode(digest.as_ref());
    match variable {
        // Letters and digits, as AWS has them.
        "AWS_ACCESS_KEY_ID" => {
            let letters = text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
            format!("AKIA{}", letters.take(16).collect::<String>())
        }
        "GIT_BASIC" => STANDARD.encode(format!("git:{}", password(generation))),
        _ => format!("sk-+/\"{text}"),
    }
}

/// The password in basic authentication.
fn password(generation: &str) -> String {
    value("GIT_PASSWORD", generation)
}

fn key_of(generation: &str) -> Key {
    if generation == FIRST { Key::One } else { Key::Other }
}

/// The key file of the account whose tokens an endpoint gives out.
pub(crate) fn key_file(endpoint: &TokenEndpoint, generation: &str) -> String {
    Account::robot(key_of(generation), &endpoint.uri("/token")).key_file()
}

/// A signature of AWS, as a header has it.
struct Signed<'a> {
    /// Date, region, service, `aws4_request`.
    scope: Vec<&'a str>,
    signature: &'a str,
}

impl Signed<'_> {
    fn read(header: &str) -> Option<Signed<'_>> {
        let rest = header.strip_prefix("AWS4-HMAC-SHA256 Credential=")?;
        let (credential, rest) = rest.split_once(", ")?;
        let (_, signature) = rest.split_once("Signature=")?;
        Some(Signed { scope: credential.split('/').skip(1).collect(), signature })
    }

    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
    fn key(&self, secret: &str) -> Vec<u8> {
        self.scope.iter().fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec()
        })
    }
}
