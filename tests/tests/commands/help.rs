//! Help that teaches: golden texts, examples everywhere, and every exit code in one place.

use super::{check_golden, run, stdout};

/// Every command with the words that lead to it.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["validate"],
    &["explain"],
    &["status"],
    &["completions"],
    &["secret"],
    &["secret", "set"],
    &["keyring"],
    &["keyring", "new"],
    &["seal"],
    &["dev"],
];

fn help(words: &[&str]) -> String {
    let output = run(&[words, &["--help"]].concat(), &[]);
    assert!(output.status.success(), "{words:?}: {output:?}");
    stdout(&output)
}

#[test]
fn every_command_has_an_example_and_its_help_is_as_it_was() {
    for words in COMMANDS {
        let text = help(words);
        assert!(text.contains("Example"), "{words:?} has no example");
        let example = format!("keyward {}", words.join(" "));
        assert!(text.contains(example.trim_end()), "{words:?}: no example begins with {example}");
        if words.first().is_none_or(|word| ["validate", "explain", "status", "completions"].contains(word)) {
            check_golden(
                &format!(
                    "help/{}.txt",
                    if words.is_empty() { "keyward".to_owned() } else { words.join("-") }
                ),
                &text,
            );
        }
    }
}

#[test]
fn the_commands_that_there_are_are_those_that_are_looked_at() {
    let text = help(&[]);
    let (_, listed) = text.split_once("Commands:\n").unwrap();
    let listed = listed
        .split("\n\n")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    for name in names {
        // `run` has tests of its own.
        assert!(
            name == "run" || COMMANDS.iter().any(|words| words.first() == Some(&name)),
            "{name} is not looked at"
        );
    }
    assert_eq!(stdout(&run(&["help"], &[])), stdout(&run(&["--help"], &[])));
}

#[test]
fn every_exit_code_stands_in_the_help() {
    let text = help(&[]);
    for code in ["  0  ", "  1  ", "  2  ", "  126  ", "  127  ", "  128+N  "] {
        assert!(text.contains(code), "{code} is missing in:\n{text}");
    }
}
