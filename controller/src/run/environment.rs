//! The environment of the command: the user's, with the way to the gateway in it and without any key.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;

use policy::host::HostPattern;
use policy::secret::{PLACEHOLDER, Secret};

use super::certificates::Written;
use super::java;
use super::keys::Secrets;
use super::no_proxy::NoProxy;
use super::providers::TABLE;

/// Variables by name.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// The proxy for every scheme. The lower-case forms are what most clients read; `HTTP_PROXY` is what some read alone.
/// `ALL_PROXY` is among them because it is what clients read for what is neither http nor https (curl for `wss`), and
/// because one that the user has set would lead past the gateway.
const PROXY: &[&str] = &["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "http_proxy", "https_proxy"];

/// Clients' own variables that go before those: set where they are set already.
const OWN_PROXY: &[&str] = &[
    "CARGO_HTTP_PROXY",
    "NPM_CONFIG_HTTPS_PROXY",
    "NPM_CONFIG_HTTP_PROXY",
    "NPM_CONFIG_PROXY",
    "PIP_PROXY",
    "YARN_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
];

const NO_PROXY: &[&str] = &["NO_PROXY", "no_proxy"];

/// Without it Node's own HTTP client reads no proxy; Node 24 and newer know it.
const NODE_PROXY: (&str, &str) = ("NODE_USE_ENV_PROXY", "1");

/// What the command finds besides what the user has.
pub(super) struct Given<'a> {
    /// Where the gateway's proxy port is for the command.
    pub(super) proxy: SocketAddr,
    /// What is reached without it.
    pub(super) no_proxy: &'a NoProxy,
    /// The files of the CA.
    pub(super) certificates: &'a Written,
    /// The variables that have the placeholder.
    pub(super) placeholders: &'a BTreeSet<&'static str>,
}

/// The whole environment of the command. `user` is the user's, without keys ([`without_keys`]).
pub(super) fn of_command(user: &Environment, given: &Given) -> Environment {
    let mut all = user.clone();
    let proxy = format!("http://{}", given.proxy);
    let set = |name: &OsString| name.to_str().is_some_and(is_own_proxy);
    let own: Vec<OsString> = user.keys().filter(|name| set(name)).cloned().collect();
    all.extend(own.into_iter().map(|name| (name, OsString::from(&proxy))));
    all.extend(PROXY.iter().map(|name| (name.into(), OsString::from(&proxy))));
    all.extend(NO_PROXY.iter().map(|name| (name.into(), given.no_proxy.text().into())));
    all.insert(NODE_PROXY.0.into(), NODE_PROXY.1.into());
    let files = given.certificates;
    all.extend(files.variables.iter().map(|(name, path)| (name.clone(), path.into())));
    all.insert("WGETRC".into(), files.wget.clone().into());
    let options = user.get(OsStr::new("JAVA_TOOL_OPTIONS")).map(|user| user.to_string_lossy());
    let options =
        java::options(&options.unwrap_or_default(), given.proxy, &given.no_proxy.for_java(), &files.java);
    all.insert("JAVA_TOOL_OPTIONS".into(), options.into());
    all.extend(given.placeholders.iter().map(|name| (name.into(), PLACEHOLDER.into())));
    all
}

fn is_own_proxy(name: &str) -> bool {
    OWN_PROXY.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// The user's lists of what is reached directly.
pub(super) fn no_proxy(user: &Environment) -> impl Iterator<Item = &str> {
    NO_PROXY.iter().filter_map(|name| user.get(OsStr::new(name))?.to_str())
}

/// The variables in which clients of these hosts look for a key. With `all` those too that the user has not set, where
/// none of that host is.
pub(super) fn placeholders(
    secrets: &Secrets,
    user: &Environment,
    hosts: &[HostPattern],
    all: bool,
) -> BTreeSet<&'static str> {
    let places = TABLE.iter().filter_map(|row| Some((row, row.place(user).ok()?)));
    let rows: Vec<_> = places.filter(|(_, place)| place.overlaps(hosts)).collect();
    let is_set = |variable: &str| secrets.get(variable).is_some_and(|value| !value.expose().is_empty());
    let mut found = BTreeSet::new();
    for (row, place) in &rows {
        let patterns = place.patterns();
        let mut same = rows.iter().filter(|(_, other)| other.overlaps(&patterns));
        let wanted = match is_set(row.variable()) {
            true => true,
            false => all && row.usual && !same.any(|(other, _)| is_set(other.variable())),
        };
        let parts = row.parts.iter().filter(|part| wanted && part.required);
        found.extend(parts.map(|part| part.variable));
    }
    found
}

/// Takes the secrets out of the user's environment: their variables, and every other whose value holds one of them.
/// Returns the names of the others.
pub(super) fn without_keys(user: &mut Environment, secrets: &Secrets) -> Vec<String> {
    user.retain(|name, _| name.to_str().is_none_or(|name| !secrets.contains_key(name)));
    let holding = holding(user, secrets.values());
    for name in &holding {
        user.remove(name);
    }
    holding.iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// The variables whose value holds one of these secrets.
pub(super) fn holding<'a>(
    user: &Environment,
    secrets: impl IntoIterator<Item = &'a Secret>,
) -> Vec<OsString> {
    let live: Vec<Secret> = secrets.into_iter().filter_map(live).collect();
    let holds = |value: &OsString| live.iter().any(|secret| contains(value.as_encoded_bytes(), secret));
    user.iter().filter(|(_, value)| holds(value)).map(|(name, _)| name.clone()).collect()
}

/// The value as it would be sent; nothing where it is no key: a text that is too short is found in innocent ones.
pub(super) fn live(secret: &Secret) -> Option<Secret> {
    // Exposed to be compared with what the command could read.
    Secret::credential(secret.expose()).ok()
}

/// Whether these bytes hold the secret.
pub(super) fn contains(bytes: &[u8], secret: &Secret) -> bool {
    let secret = secret.expose();
    !secret.is_empty() && bytes.windows(secret.len()).any(|window| window == secret)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn environment(set: &[(&str, &str)]) -> Environment {
        set.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn secrets(set: &[(&str, &str)]) -> Secrets {
        let secret = |value: &str| Secret::new(value.as_bytes().to_vec());
        set.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect()
    }

    fn given(user: &[(&str, &str)], placeholders: &[&'static str]) -> BTreeMap<String, String> {
        let user = environment(user);
        let certificates = Written {
            variables: [("SSL_CERT_FILE".into(), PathBuf::from("/f/ca-bundle.pem"))].into(),
            wget: "/f/wgetrc".into(),
            java: "/f/trust.jks".into(),
            notes: Vec::new(),
        };
        let given = Given {
            proxy: "127.0.0.1:4001".parse().expect("an address"),
            no_proxy: &NoProxy::new(no_proxy(&user), &[]),
            certificates: &certificates,
            placeholders: &placeholders.iter().copied().collect(),
        };
        let text = |text: OsString| text.into_string().expect("text");
        of_command(&user, &given).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn every_client_finds_the_gateway_its_ca_and_a_placeholder() {
        let all = given(&[("HOME", "/home/a"), ("no_proxy", "corp.example")], &["ANTHROPIC_API_KEY"]);
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            assert_eq!(all[name], "http://127.0.0.1:4001", "{name}");
        }
        for (name, value) in [
            ("HOME", "/home/a"),
            ("NO_PROXY", "localhost,127.0.0.1,::1,corp.example"),
            ("no_proxy", "localhost,127.0.0.1,::1,corp.example"),
            ("NODE_USE_ENV_PROXY", "1"),
            ("SSL_CERT_FILE", "/f/ca-bundle.pem"),
            ("WGETRC", "/f/wgetrc"),
            ("ANTHROPIC_API_KEY", PLACEHOLDER),
        ] {
            assert_eq!(all[name], value, "{name}");
        }
        assert!(all["JAVA_TOOL_OPTIONS"].contains("-Dhttps.proxyPort=4001"));
        assert!(all["JAVA_TOOL_OPTIONS"].contains("/f/trust.jks"));
    }

    #[test]
    fn a_clients_own_proxy_variable_is_set_where_it_was() {
        let all = given(&[("npm_config_https_proxy", "http://corp:3128")], &[]);
        assert_eq!(all["npm_config_https_proxy"], "http://127.0.0.1:4001");
        assert!(!all.contains_key("PIP_PROXY"));
    }

    #[test]
    fn keys_are_gone_and_so_is_every_variable_that_holds_one() {
        let secrets = secrets(&[("OPENAI_API_KEY", "sk-0123456789\n"), ("EMPTY", ""), ("SHORT", "abc")]);
        let mut user = environment(&[
            ("OPENAI_API_KEY", "sk-0123456789\n"),
            ("SHORT", "abc"),
            ("HEADERS", "authorization: Bearer sk-0123456789"),
            ("ALPHABET", "abcdef"),
        ]);
        assert_eq!(without_keys(&mut user, &secrets), ["HEADERS"]);
        assert_eq!(user, environment(&[("ALPHABET", "abcdef")]));
    }

    #[test]
    fn placeholders_stand_where_clients_of_credentialed_hosts_look() {
        let hosts = |names: &[&str]| -> Vec<HostPattern> {
            names.iter().map(|name| HostPattern::parse(name).expect("a pattern")).collect()
        };
        let check = |set: &[(&str, &str)], names: &[&str], all, expected: &[&'static str]| {
            let found = placeholders(&secrets(set), &Environment::new(), &hosts(names), all);
            assert_eq!(found, expected.iter().copied().collect(), "{set:?} {names:?}");
        };
        let anthropic = &["api.anthropic.com"][..];
        check(&[], anthropic, false, &[]);
        check(&[], anthropic, true, &["ANTHROPIC_API_KEY"]);
        check(&[("ANTHROPIC_AUTH_TOKEN", "x")], anthropic, true, &["ANTHROPIC_AUTH_TOKEN"]);
        check(&[("OPENAI_API_KEY", "x")], anthropic, true, &["ANTHROPIC_API_KEY"]);
        let google = &["generativelanguage.googleapis.com"][..];
        let both = [("GOOGLE_API_KEY", "x"), ("GEMINI_API_KEY", "x")];
        check(&both, google, false, &["GEMINI_API_KEY", "GOOGLE_API_KEY"]);
        let bedrock = &["bedrock-runtime.eu-central-1.amazonaws.com"][..];
        check(&[], bedrock, true, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
        check(&[("AWS_BEARER_TOKEN_BEDROCK", "x")], bedrock, true, &["AWS_BEARER_TOKEN_BEDROCK"]);
    }
}
