//! `docs/troubleshooting.md` has an entry for whatever Keyward says, and for nothing else.

use std::collections::BTreeSet;
use std::path::PathBuf;

use harness::artefacts::root;
use policy::denial::Reason;

use super::{document, reasons, rows, section};

/// The first cell of every row of a table, without its backticks and without the heading.
fn first_cells(section: &str) -> Vec<&str> {
    let cells = rows(section).into_iter().map(|row| row[0]);
    cells.filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`')).collect()
}

/// The files of a folder and of those in it, or a file.
fn files(path: PathBuf) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path];
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.flat_map(files).collect();
    files.sort();
    files
}

/// The sources of files and folders of the controller without their tests and comments, joined.
fn sources(paths: &[&str]) -> String {
    let mut text = String::new();
    for path in paths {
        let mut files = files(root().join("controller/src").join(path));
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
    let coarse: BTreeSet<_> = reasons::all().into_iter().map(|reason| reason.coarse().as_str()).collect();
    let headings = section(&text, "What the agent was answered").lines();
    let headings: Vec<_> = headings.filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), coarse);
    assert_eq!(headings.len(), coarse.len(), "an entry stands twice");
    let exact = first_cells(section(&text, "Exact reasons"));
    assert_eq!(exact, reasons::all().into_iter().map(Reason::as_str).collect::<Vec<_>>());
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
    "inspector/listen.rs",
    "source/directory.rs",
    "source/overrides.rs",
    "envoy/binary.rs",
    "envoy/module.rs",
    "envoy/process.rs",
    "metrics/endpoint.rs",
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
    let all = flat(&sources(&[START, &["dev", "cli"]].concat()));
    for entry in entries {
        assert!(all.contains(entry), "no message has {entry:?}");
    }
}

/// Every string literal of flat code.
fn all_literals(code: &str) -> Vec<String> {
    // Two escapes and a character would be taken for the end of one.
    let code = code.replace("\\\\", "").replace("\\\"", "'").replace("'\"'", "''");
    let parts: Vec<&str> = code.split('"').collect();
    assert!(parts.len() % 2 == 1, "a literal without an end");
    parts.into_iter().skip(1).step_by(2).map(str::to_owned).collect()
}

/// How many words a message has of its own: others say what stands in its places.
fn words(message: &str) -> usize {
    let own = message.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let words = own.flat_map(str::split_whitespace);
    words.filter(|word| word.len() > 2 && word.chars().all(char::is_alphabetic)).count()
}

/// Each message has an entry, and each entry is of one of them.
fn check(messages: &[String], entries: &[&str]) {
    let untold: Vec<_> =
        messages.iter().filter(|message| !entries.iter().any(|entry| message.contains(entry))).collect();
    assert!(untold.is_empty(), "no entry for {untold:#?}");
    for entry in entries {
        assert!(messages.iter().any(|message| message.contains(entry)), "no message has {entry:?}");
    }
    let once: BTreeSet<_> = entries.iter().collect();
    assert_eq!(once.len(), entries.len(), "an entry stands twice");
}

#[test]
fn every_hint_in_a_line_of_dev_has_its_entry_and_every_entry_is_of_such_a_hint() {
    let text = document("docs/troubleshooting.md");
    let mut hints = all_literals(&flat(&sources(&["dev/access.rs"])));
    // The client that does not trust the CA, in a hint that has its entry.
    hints.retain(|hint| hint.contains("no request") || words(hint) > 1 && hint != "the client");
    assert!(hints.len() > 10, "only {} hints were recognised", hints.len());
    check(&hints, &first_cells(section(&text, "Hints in the lines of `keyward dev`")));
}

#[test]
fn whatever_the_kernel_may_refuse_has_its_entry_and_nothing_else_has() {
    let text = document("docs/troubleshooting.md");
    let code = flat(&sources(&["sandbox"]));
    let refused = code.split("kernel( \"").flat_map(|part| part.split("kernel(\"")).skip(1);
    let refused: BTreeSet<&str> = refused.filter_map(|rest| rest.split('"').next()).collect();
    assert!(refused.len() > 10, "only {refused:?}");
    assert_eq!(code.matches("Refused::Kernel { what:").count(), 1, "made in another way");
    let entries = first_cells(section(&text, "What the kernel refuses"));
    assert_eq!(entries.iter().copied().collect::<BTreeSet<_>>(), refused);
    assert_eq!(entries.len(), refused.len(), "an entry stands twice");
}

/// What stands in the code of `keyward run` and its sandbox and is no message: causes and lists behind one that has its
/// entry, and what the log has at a higher level.
const BEHIND_OTHERS: &[&str] = &[
    "a connection to the gateway broke",
    "; {} too, although NO_PROXY names it",
    " and {more} hosts more",
    "names a proxy that is spoken to in TLS",
    "names a proxy with a password",
    "names a SOCKS proxy",
    "names no HTTP proxy",
    "AZURE_OPENAI_ENDPOINT, which says at which host it is good, is not set",
    "no certificate in PEM is there",
    "keyward: starting the gateway",
    "a message is too long",
    "an answer of another kind",
    "it answered out of turn",
    "it was not started",
    "keyward has ended",
    "the thread that starts it ended early",
    // What may be done where the kernel refuses.
    "user namespaces may be turned off here (user.max_user_namespaces, kernel.unprivileged_userns_clone, \
     kernel.apparmor_restrict_unprivileged_userns, or a container's profile)",
    "it may have none (CONFIG_SECCOMP_FILTER), or a container's profile forbids the system call seccomp",
    "a container's profile may forbid Landlock's system calls, by another error than ENOSYS",
    // What can be reached without isolation: SECURITY.md has the list too.
    "the manifests, and the state directory with the CA's key and the sealing keys",
    "Envoy's environment and memory, with the sealing keys and the credentials that it sends",
    "the sockets that control `keyward`, and Envoy's",
    "every server on this machine, and every address that it can route to",
];

#[test]
fn whatever_keyward_run_says_has_its_entry_and_every_entry_is_in_the_code() {
    let text = document("docs/troubleshooting.md");
    let folder = |name: &str| files(root().join("controller/src").join(name));
    // What it came to is said by both.
    let summary = vec![root().join("controller/src/dev/summary.rs")];
    let mut messages: Vec<String> = [folder("run"), folder("sandbox"), summary]
        .concat()
        .iter()
        // Help texts, and the manifests that are made.
        .filter(|file| !file.ends_with("run/args.rs") && !file.ends_with("run/objects.rs"))
        .flat_map(|file| all_literals(&flat(&sources(&[file.to_str().unwrap()]))))
        .collect();
    for part in BEHIND_OTHERS {
        assert!(messages.iter().any(|message| message == part), "nothing says {part:?}");
    }
    let kernel = first_cells(section(&text, "What the kernel refuses"));
    let is_other =
        |message: &String| [BEHIND_OTHERS, &kernel].iter().any(|others| others.contains(&message.as_str()));
    messages.retain(|message| !is_other(message));
    let entries = first_cells(section(&text, "What `keyward run` says"));
    // A short one may be a part of another, and it may be one with an entry.
    messages.retain(|message| words(message) > 2 || entries.iter().any(|entry| message.contains(entry)));
    assert!(messages.len() > 30, "only {} messages were recognised", messages.len());
    // What the flags of `--secret` are wrong in is said by what reads them for every command.
    let (of_flags, entries): (Vec<&str>, Vec<&str>) =
        entries.into_iter().partition(|entry| *entry == "gives this Secret one value");
    assert!(of_flags.iter().all(|entry| flat(&sources(&["source"])).contains(entry)), "{of_flags:?}");
    check(&messages, &entries);
}
