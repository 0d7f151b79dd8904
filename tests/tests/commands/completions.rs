//! `keyward completions`: each shell gets a script, and bash completes by the one that it gets.

use std::process::Command;

use super::{run, stdout};

#[test]
fn every_shell_gets_a_script_with_every_command_and_none_that_is_hidden() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell], &[]);
        assert!(output.status.success(), "{shell}: {output:?}");
        let script = stdout(&output);
        for command in ["dev", "validate", "explain", "status", "secret", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"], &[]).status.code(), Some(2));
}

/// What bash offers for a line that ends with the word to complete.
fn offered(words: &[&str]) -> Vec<String> {
    let script = stdout(&run(&["completions", "bash"], &[]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keyward.bash");
    std::fs::write(&file, script).unwrap();
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    // The function that the script registered, called as bash calls it.
    let program = format!(
        "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; \
         registered=$(complete -p keyward); function=${{registered#*-F }}; ${{function%% *}} keyward '{}' '{}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        file.display(),
        quoted.join(" "),
        words.len() - 1,
        words.last().unwrap(),
        words[words.len() - 2],
    );
    let output = Command::new("bash").args(["--norc", "-c", &program]).output().expect("bash starts");
    assert!(output.status.success(), "{output:?}");
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_a_command_and_a_flag() {
    assert_eq!(offered(&["keyward", "expl"]), ["explain"]);
    assert_eq!(offered(&["keyward", "explain", "--gate"]), ["--gateway"]);
    assert_eq!(offered(&["keyward", "secret", "s"]), ["set"]);
}
