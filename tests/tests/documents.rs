//! The documents say what is so: paths, commands, reasons and headers that they name are those of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use harness::artefacts::root;
use harness::scenario::KEY;
use harness::sealed::{KEYRING, sealed, worked_example};
use policy::decide::{Edit, Facts, Head, Plan, Step};
use policy::denial::{Denial, Reason, Retry};
use policy::model::Body;
use policy::provider::Provider;
use policy::rules::{RuleSet, Vault};
use policy::seal::Keyring;
use policy::wire::Carriers;

/// Every document of the clone, by its path from the root.
fn documents() -> Vec<(PathBuf, String)> {
    let examples = std::fs::read_dir(root().join("examples")).unwrap().map(|folder| folder.unwrap().path());
    let folders = ["", "docs", "docs/decisions", "envoy-config/static"].map(|folder| root().join(folder));
    let entries = folders.into_iter().chain(examples).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(root()).unwrap().to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// What stands between backticks in a line of prose or a table.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Whether a word is meant as a path of this clone: it begins with something that is there, or names a source file.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if word.is_empty() || word.starts_with(['/', '.', '-']) || !word.chars().all(plain) {
        return false;
    }
    let (first, rest) = word.split_once('/').unwrap_or((word, ""));
    let made = ["target", "certs"].contains(&first);
    let known = word.contains('/') && root().join(first).is_dir();
    let source = [".rs", ".md", ".toml", ".wat"].iter().any(|ending| word.ends_with(ending));
    !made && (known || source || rest.contains(".rs"))
}

fn exists(document: &Path, named: &str) -> bool {
    let beside = document.parent().unwrap_or(Path::new(""));
    root().join(named).exists() || root().join(beside).join(named).exists()
}

#[test]
fn every_path_that_a_document_names_exists() {
    let (mut checked, mut missing) = (0, Vec::new());
    for (document, text) in documents() {
        for word in text.split(|c: char| c.is_whitespace() || "`()[]|,;:'\"".contains(c)) {
            let word = word.trim_end_matches('.');
            if is_path(word) {
                checked += 1;
                missing.extend((!exists(&document, word)).then(|| format!("{}: {word}", document.display())));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(checked > 30, "only {checked} paths were recognised");
}

/// The anchor of a heading: lower case, spaces as hyphens, punctuation gone.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    let anchor =
        |line: &str| line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
    headings.map(anchor).map(|anchor: String| anchor.replace(' ', "-")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for (document, text) in documents() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("https://")) {
            checked += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => root().join(&document),
                path => root().join(&document).parent().unwrap().join(path),
            };
            assert!(path.exists(), "{}: {target}", document.display());
            let known =
                anchor.is_empty() || anchors(&std::fs::read_to_string(&path).unwrap()).contains(anchor);
            assert!(known, "{}: {target} has no such heading", document.display());
        }
    }
    assert!(checked > 15, "only {checked} links were recognised");
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = document("Makefile");
    let mut checked = 0;
    for (document, text) in documents() {
        let after = text.split(['`', '\n']).filter_map(|part| part.trim_start().strip_prefix("make "));
        for target in after.filter_map(|rest| rest.split_whitespace().next()).filter(|word| *word != "#") {
            checked += 1;
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{}: make {target}", document.display());
        }
    }
    assert!(checked > 5, "only {checked} targets were recognised");
}

#[test]
fn no_document_names_a_place_of_one_machine() {
    let others = ["Makefile", "hack/setup", ".ci/run", "Cargo.toml", "deny.toml", "clippy.toml"];
    let others = others.iter().map(|name| (PathBuf::from(name), document(name)));
    for (document, text) in documents().into_iter().chain(others) {
        for place in ["/work/", "/root/", "/home/", "/Users/", "../shared"] {
            assert!(!text.contains(place), "{} names {place}", document.display());
        }
    }
}

/// The reason after this one; the match makes a new reason a compile error here.
fn next(reason: Reason) -> Option<Reason> {
    Some(match reason {
        Reason::HostNotListed => Reason::EndpointNotListed,
        Reason::EndpointNotListed => Reason::ModelNotListed,
        Reason::ModelNotListed => Reason::ModelUnreadable,
        Reason::ModelUnreadable => Reason::PortNotListed,
        Reason::PortNotListed => Reason::ClusterNotAllowed,
        Reason::ClusterNotAllowed => Reason::CredentialUnsealable,
        Reason::CredentialUnsealable => Reason::SecretNotFound,
        Reason::SecretNotFound => Reason::KeyNotFound,
        Reason::KeyNotFound => Reason::InvalidSecret,
        Reason::InvalidSecret => Reason::NoPolicy,
        Reason::NoPolicy => Reason::RouteRefused,
        Reason::RouteRefused => Reason::RouteDenied,
        Reason::RouteDenied => Reason::RegionUnknown,
        Reason::RegionUnknown => Reason::TokenUnavailable,
        Reason::TokenUnavailable => Reason::TokenExpired,
        Reason::TokenExpired => Reason::NoConfiguration,
        Reason::NoConfiguration => Reason::HostCallFailed,
        Reason::HostCallFailed => Reason::SniMissing,
        Reason::SniMissing => Reason::SniMismatch,
        Reason::SniMismatch => Reason::TargetMismatch,
        Reason::TargetMismatch => Reason::AuthorityMalformed,
        Reason::AuthorityMalformed => Reason::PathNotCanonical,
        Reason::PathNotCanonical => Reason::HeaderNameMalformed,
        Reason::HeaderNameMalformed => Reason::Unsignable,
        Reason::Unsignable => Reason::ChunkSigned,
        Reason::ChunkSigned => Reason::RequestIncomplete,
        Reason::RequestIncomplete => Reason::BodyTooLarge,
        Reason::BodyTooLarge => Reason::Cleartext,
        Reason::Cleartext => Reason::MethodNotAllowed,
        Reason::MethodNotAllowed => Reason::UpstreamRefused,
        Reason::UpstreamRefused => Reason::Overloaded,
        Reason::Overloaded => return None,
    })
}

fn reasons() -> Vec<Reason> {
    std::iter::successors(Some(Reason::HostNotListed), |reason| next(*reason)).collect()
}

/// The cells of every row of a table, by its first cell.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_reason_has_its_place_and_nothing_else_is_called_one() {
    let text = document("docs/reasons.md");
    for coarse in reasons().into_iter().map(Reason::coarse).collect::<BTreeSet<_>>() {
        let name = coarse.as_str();
        let exact: Vec<_> = reasons().into_iter().filter(|reason| reason.coarse() == coarse).collect();

        let (_, section) = text.split_once(&format!("\n## {name}\n")).expect(name);
        let section = section.split("\n## ").next().unwrap();
        let (_, causes) = section.split_once("Exact cause").expect(name);
        let is_reason = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let named: BTreeSet<_> = quoted(causes).into_iter().filter(is_reason).collect();
        assert_eq!(named, exact.iter().map(|reason| reason.as_str()).collect(), "{name}");

        let row = rows(&text).into_iter().find(|row| row[0] == format!("[{name}](#{name})")).expect(name);
        let digits = |word: &&str| word.chars().all(|c| c.is_ascii_digit()) && !word.is_empty();
        let statuses: BTreeSet<_> = row[1].split([' ', ',']).filter(digits).map(str::to_owned).collect();
        let given = exact.iter().map(|reason| Denial::new(*reason).status().to_string());
        assert_eq!(statuses, given.collect(), "{name}");
        assert_eq!(row[2] == "yes", coarse.retry() == Retry::MayHelp, "{name}");
    }
    let sections = text.matches("\n## ").count();
    assert_eq!(sections, reasons().into_iter().map(Reason::coarse).collect::<BTreeSet<_>>().len());
}

/// The rules of a provider's route, with everything that may carry a credential for it.
fn rules_of(provider: Provider) -> RuleSet {
    let mut config = worked_example(KEY);
    config.carriers[0] = Carriers::of(provider);
    let keyring = Keyring::parse(KEYRING).unwrap();
    let bytes = serde_json::to_vec(&sealed(config, KEY)).unwrap();
    RuleSet::compile(&bytes, &mut Vault::new(Some(keyring))).unwrap()
}

const MATCHED: (&str, &str) = ("api.anthropic.com", "/v1/messages");
const ANOTHER_ENDPOINT: (&str, &str) = ("api.anthropic.com", "/v1/files");
const ANOTHER_HOST: (&str, &str) = ("other.example", "/v1/messages");

/// What becomes of a request to this host and path with this header.
fn plan(rules: &RuleSet, (host, path): (&str, &str), header: &str) -> Plan {
    let connection = format!("{host}|{host}:443");
    let lines =
        [(":method", "POST"), (":scheme", "https"), (":authority", host), (":path", path), (header, "value")];
    let map = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let step = rules.decide(&Facts::parse(connection.as_bytes()), &Head::from_map(map), Body::Unread);
    step.and_then(Step::plan).unwrap_or_else(|denial| panic!("{header} is refused: {}", denial.reason))
}

/// Whether the header is removed, or set to another value.
fn is_stripped(rules: &RuleSet, target: (&str, &str), header: &str) -> bool {
    plan(rules, target, header).edits.iter().any(|edit| match edit {
        Edit::RemoveHeader(name) => name == header,
        Edit::SetHeader { name, .. } => name == header,
        Edit::SetPath(_) => false,
    })
}

/// The names of control headers in the table of requests, `*` at the end of a prefix.
fn control_headers(text: &str) -> Vec<String> {
    let row = rows(text).into_iter().find(|row| row.last().unwrap().starts_with("control headers"));
    quoted(row.expect("a row of control headers")[0]).into_iter().map(str::to_owned).collect()
}

/// Headers that clients, proxies and frameworks send.
const COMMON: &[&str] = &[
    "accept",
    "accept-encoding",
    "accept-language",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "baggage",
    "cache-control",
    "cf-connecting-ip",
    "client-ip",
    "content-encoding",
    "content-md5",
    "content-type",
    "dnt",
    "expect",
    "forwarded",
    "front-end-https",
    "grpc-timeout",
    "host-override",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "proxy-authorization",
    "range",
    "referer",
    "sec-fetch-mode",
    "traceparent",
    "tracestate",
    "true-client-ip",
    "user-agent",
    "via",
    "x-app",
    "x-b3-traceid",
    "x-client-request-id",
    "x-cluster-client-ip",
    "x-correlation-id",
    "x-csrf-token",
    "x-envoy-original-path",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-keyward-reason",
    "x-method-override",
    "x-original-url",
    "x-ot-span-context",
    "x-powered-by",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
    "x-rewrite-url",
    "x-stainless-lang",
    "x-stainless-retry-count",
];

#[test]
fn the_control_headers_of_the_table_are_stripped_everywhere_and_no_common_header_beside_them() {
    let text = document("docs/headers.md");
    let listed = control_headers(&text);
    assert!(listed.len() > 8, "{listed:?}");
    let rules = rules_of(Provider::Anthropic);
    let examples = listed.iter().map(|name| name.replace('*', "anything"));
    let common = COMMON.iter().map(ToString::to_string);
    for header in examples.chain(common).collect::<BTreeSet<_>>() {
        let covers = |name: &String| match name.strip_suffix('*') {
            Some(start) => header.starts_with(start),
            None => *name == header,
        };
        let expected = listed.iter().any(covers) || header == "proxy-authorization";
        for target in [MATCHED, ANOTHER_ENDPOINT, ANOTHER_HOST] {
            assert_eq!(is_stripped(&rules, target, &header), expected, "{header} at {target:?}");
        }
    }
    assert!(rows(&text).iter().any(|row| row[0] == "`proxy-authorization`" && row[1] == "always"));
}

#[test]
fn every_carrier_of_a_provider_is_stripped_at_its_host_and_at_no_other() {
    let text = document("docs/headers.md");
    let row = rows(&text).into_iter().find(|row| row[0].contains("policy/src/provider.rs"));
    assert_eq!(row.expect("a row of carriers")[1], "host of a route");
    for provider in Provider::ALL {
        let rules = rules_of(provider);
        for header in provider.header_carriers() {
            assert!(is_stripped(&rules, MATCHED, header), "{provider:?}: {header}");
            assert!(is_stripped(&rules, ANOTHER_ENDPOINT, header), "{provider:?}: {header}");
            let everywhere = *header == "proxy-authorization";
            assert_eq!(is_stripped(&rules, ANOTHER_HOST, header), everywhere, "{provider:?}: {header}");
        }
        for name in provider.query_carriers() {
            for (host, path) in [MATCHED, ANOTHER_ENDPOINT, ANOTHER_HOST] {
                let edits = plan(&rules, (host, &format!("{path}?a=1&{name}=v&b=2")), "accept").edits;
                let stripped = edits.iter().any(|edit| {
                    matches!(edit, Edit::SetPath(left) if left.expose() == format!("{path}?a=1&b=2").as_bytes())
                });
                assert_eq!(stripped, (host, path) != ANOTHER_HOST, "{provider:?}: ?{name}= at {host}{path}");
            }
        }
    }
}

#[test]
fn every_header_of_a_refusal_stands_in_the_document() {
    let text = document("docs/headers.md");
    for reason in reasons() {
        for (name, _) in Denial::new(reason).headers() {
            assert!(text.contains(&format!("`{name}")), "{name} of {reason}");
        }
    }
}

/// A section of a document, by its heading.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, section) =
        text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    section.split("\n## ").next().unwrap()
}

/// The first cell of every row of a table, without its backticks and without the heading.
fn first_cells(section: &str) -> Vec<&str> {
    let cells = rows(section).into_iter().map(|row| row[0]);
    cells.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`')).collect()
}

/// The sources of a folder of the controller without their tests and comments, joined.
fn sources(paths: &[&str]) -> String {
    let mut text = String::new();
    for path in paths {
        let path = root().join("controller/src").join(path);
        let mut files = if path.is_dir() {
            std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![path]
        };
        files.sort();
        files.retain(|file| file.extension().is_some_and(|kind| kind == "rs") && !file.ends_with("tests.rs"));
        for file in files {
            let whole = std::fs::read_to_string(file).unwrap();
            let code = whole.split("#[cfg(test)]").next().unwrap();
            text.extend(
                code.lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .map(|line| format!("{line}\n")),
            );
        }
    }
    text
}

/// String literals: what stands between two quotes of one line.
fn literals(code: &str) -> impl Iterator<Item = &str> {
    code.lines().flat_map(|line| line.split('"').skip(1).step_by(2))
}

/// `NoMatchingParent`, and nothing like `TRACE`.
fn is_word(text: &&str) -> bool {
    let letters = text.chars().all(|c| c.is_ascii_alphabetic());
    letters
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.contains(|c: char| c.is_ascii_lowercase())
}

/// Every word that the compiler, or what an Envoy says, gives as the reason of a condition that does not hold.
fn condition_reasons() -> BTreeSet<String> {
    let code = sources(&["compile", "conditions.rs"]);
    // Types of conditions, what holds, and words that are none of either.
    let others = [
        "Accepted",
        "False",
        "Gi",
        "Ki",
        "Mi",
        "Origin",
        "PartiallySupported",
        "Programmed",
        "Ready",
        "ResolvedRefs",
        "Scheduled",
        "TokenRenewal",
        "True",
        "Unknown",
    ];
    literals(&code).filter(is_word).filter(|word| !others.contains(word)).map(str::to_owned).collect()
}

#[test]
fn every_reason_has_its_entry_in_troubleshooting_and_no_entry_is_of_another() {
    let text = document("docs/troubleshooting.md");
    let coarse: BTreeSet<_> = reasons().into_iter().map(|reason| reason.coarse().as_str()).collect();
    let headings = section(&text, "What the agent was answered").lines();
    let headings: Vec<_> = headings.filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), coarse);
    assert_eq!(headings.len(), coarse.len(), "an entry stands twice");
    let exact = first_cells(section(&text, "Exact reasons"));
    assert_eq!(exact, reasons().into_iter().map(Reason::as_str).collect::<Vec<_>>());
}

#[test]
fn every_reason_of_a_condition_has_its_entry_and_its_remedy_and_nothing_else_has() {
    let known = condition_reasons();
    assert!(known.len() > 15 && known.contains("NoMatchingParent"), "{known:?}");
    let text = document("docs/troubleshooting.md");
    let entries = first_cells(section(&text, "Reasons of conditions"));
    assert!(entries.is_sorted(), "{entries:?}");
    assert_eq!(entries.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
    let remedies = sources(&["cli/remedies.rs"]);
    let named: BTreeSet<_> = literals(&remedies).filter(is_word).collect();
    assert_eq!(named.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
}

/// The code in which the command ends before it serves, or a line of its output is made.
const START: &[&str] = &[
    "state/error.rs",
    "dev/ports.rs",
    "dev/trust.rs",
    "dev/find.rs",
    "dev/args.rs",
    "source/directory.rs",
    "source/overrides.rs",
    "envoy/binary.rs",
    "envoy/module.rs",
    "envoy/process.rs",
];

/// Code as one line, string literals that are broken over lines joined.
fn flat(code: &str) -> String {
    code.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_message_at_the_start_has_its_entry_and_every_entry_is_in_the_code() {
    let text = document("docs/troubleshooting.md");
    let entries = first_cells(section(&text, "Messages at the start"));
    let code = flat(&sources(START));
    let messages: Vec<&str> = code
        .split("#[error(")
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
        // Whatever the system or a file's reader says, behind a path.
        .filter(|message| !["{}: {source}", "{}: {cause}. {remedy}"].contains(message))
        .collect();
    assert!(messages.len() > 20, "only {} messages were recognised", messages.len());
    let is_told = |message: &&&str| entries.iter().any(|entry| message.contains(entry));
    let untold: Vec<_> = messages.iter().filter(|message| !is_told(message)).collect();
    assert!(untold.is_empty(), "no entry for {untold:#?}");
    let all = flat(&sources(&[START, &["dev", "cli", "cli/explain"]].concat()));
    for entry in entries.iter().chain(&first_cells(section(&text, "Hints in the lines of `keyward dev`"))) {
        assert!(all.contains(entry), "no message has {entry:?}");
    }
}
