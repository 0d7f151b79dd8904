//! `envoy-config/static`: a plain Envoy without a controller, set up by the very commands of its README.
//!
//! Only what no test can use is replaced in them: the provider and its CA, the port, and the key. An admin interface
//! is added, on a Unix socket, to look into that Envoy.

mod bodies;
mod telemetry;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use harness::process::Process;
use harness::provider::{Provider, Received};
use harness::scenario::{KEY, worked_example};
use harness::{admin, artefacts, dump};
use serde_json::{Value, json};

/// The commands of the README, a text for each of its four steps.
fn commands() -> [String; 4] {
    blocks("sh").try_into().expect("four steps")
}

/// The blocks of the README that are in this language.
fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(source().join("README.md")).unwrap();
    let start = format!("```{language}\n");
    let blocks = text.split(&start).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn source() -> PathBuf {
    artefacts::root().join("envoy-config/static")
}

/// Replaces text that must be there.
#[track_caller]
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}

/// The folder that a reader of the README works in.
struct Desk {
    folder: tempfile::TempDir,
    provider: Provider,
}

impl Desk {
    async fn new() -> Desk {
        let desk =
            Desk { folder: tempfile::tempdir().unwrap(), provider: Provider::accepting(KEY).await.unwrap() };
        for name in ["README.md", "filter.json"] {
            std::fs::copy(source().join(name), desk.path(name)).unwrap();
        }
        std::fs::write(desk.path("envoy.yaml.in"), desk.adjusted_template()).unwrap();
        std::fs::create_dir(desk.path("bin")).unwrap();
        let tools = [("bin/keyward", artefacts::keyward()), ("keyward.wasm", artefacts::module())];
        for (name, made) in tools.into_iter().chain([("bin/envoy", artefacts::envoy().as_path())]) {
            std::os::unix::fs::symlink(made, desk.path(name)).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn adjusted_template(&self) -> String {
        let text = std::fs::read_to_string(source().join("envoy.yaml.in")).unwrap();
        let text = replaced(&text, "port_value: 8443", "port_value: 0");
        let provider = format!("address: 127.0.0.1, port_value: {}", self.provider.address().port());
        let text = replaced(&text, "address: api.anthropic.com, port_value: 443", &provider);
        format!("{text}admin: {{address: {{pipe: {{path: {}}}}}}}\n", self.path("admin.sock").display())
    }

    /// The shell that runs a step in the folder.
    fn shell(&self, command: &str) -> std::process::Command {
        let mut shell = std::process::Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", command]).current_dir(&self.folder);
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        shell.env_clear().env("PATH", path).env("REAL_KEY", KEY);
        shell.env("COLLECTOR_AUTHORIZATION", telemetry::AUTHORIZATION);
        shell
    }

    #[track_caller]
    fn run(&self, command: &str) {
        let output = self.shell(command).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Changes a file of JSON.
    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(self.path(name), value.to_string()).unwrap();
    }

    /// Steps 1 and 2; `tamper` changes what was sealed before it goes into Envoy's configuration.
    fn prepare(&self, tamper: impl FnOnce(&mut Value)) {
        let [certificates, sealing, ..] = commands();
        let ca = self.provider.ca_file();
        self.run(&replaced(&certificates, "/etc/ssl/certs/ca-certificates.crt", ca.to_str().unwrap()));
        let sealing = replaced(&sealing, "ANTHROPIC_API_KEY=… ", "ANTHROPIC_API_KEY=$REAL_KEY ");
        let at = sealing.rfind("sed ").expect("the step ends by filling the template in");
        self.run(&sealing[..at]);
        self.change("filter.sealed.json", tamper);
        self.run(&sealing[at..]);
    }

    /// Step 3; `adjust` changes the command.
    async fn envoy(&self, adjust: impl FnOnce(&str) -> String) -> Envoy<'_> {
        let [.., start, _] = commands();
        let mut process = Process::spawn(self.shell(&format!("exec {}", adjust(start.trim_start()))));
        let port = admin::port(&self.path("admin.sock"), &mut process).await;
        Envoy { desk: self, process, port }
    }

    /// The example as it stands, running.
    async fn example(&self) -> Envoy<'_> {
        self.prepare(|_| {});
        self.envoy(str::to_owned).await
    }
}

/// The Envoy of step 3.
struct Envoy<'a> {
    desk: &'a Desk,
    process: Process,
    port: u16,
}

/// What curl printed.
struct Answer {
    status: String,
    text: String,
}

impl Answer {
    fn reason(&self) -> &str {
        let line = self.text.lines().find_map(|line| line.strip_prefix("x-keyward-reason: "));
        line.unwrap_or_default().trim()
    }
}

impl Envoy<'_> {
    /// Step 4, with more arguments and another URL or host.
    async fn curl(&self, url: &str, more: &str) -> Answer {
        let [.., ask] = commands();
        let ask =
            replaced(&ask, "api.anthropic.com:443:127.0.0.1:8443", &format!("::127.0.0.1:{}", self.port));
        let ask = replaced(&ask, "https://api.anthropic.com/v1/messages", url);
        let mut shell = self.desk.shell(&format!("{} -sSi {more}", ask.trim_end()));
        shell.stdin(Stdio::null());
        let output: Output = tokio::process::Command::from(shell).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{url} {more}: {text} {}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains(KEY), "the agent saw the key: {text}");
        Answer { status: text.split(' ').nth(1).unwrap_or_default().to_owned(), text }
    }

    /// An answer that the gateway gave without asking the provider.
    async fn check_refused(&self, url: &str, more: &str, status: &str, reason: &str) {
        // curl 7.88 loses an answer that comes over HTTP/2 before it has sent the body.
        let answer = self.curl(url, &format!("--http1.1 {more}")).await;
        assert_eq!(
            (answer.status.as_str(), answer.reason()),
            (status, reason),
            "{url} {more}: {}",
            answer.text
        );
        assert!(self.desk.provider.take_requests().is_empty(), "{url} {more} reached the provider");
    }

    /// A request that the provider gets with the real key and no other credential.
    async fn check_injected(&self, url: &str, more: &str) -> Received {
        let answer = self.curl(url, more).await;
        assert_eq!(answer.status, "200", "{more}: {}", answer.text);
        let received = self.desk.provider.only_request();
        assert_eq!(received.values("x-api-key"), [KEY], "{more}");
        received
    }
}

const MESSAGES: &str = "https://api.anthropic.com/v1/messages";
const COMPLETE: &str = "https://api.anthropic.com/v1/complete";

#[tokio::test]
async fn the_provider_gets_the_sealed_key_alone_whatever_the_agent_sends() {
    let desk = Desk::new().await;
    let envoy = desk.example().await;
    for more in ["", "--http1.1", "-H 'X-API-KEY: sk-ant-another'", "-H 'authorization: Bearer sk-ant-own'"] {
        let received = envoy.check_injected(MESSAGES, more).await;
        assert!(received.values("authorization").is_empty() && !received.mentions("clrk-injected"), "{more}");
        let ours = |name: &String| name.starts_with("x-envoy") || name.starts_with("x-forwarded");
        assert!(!received.names().iter().any(ours), "{more}: {:?}", received.names());
    }
}

#[tokio::test]
async fn another_endpoint_or_host_is_refused() {
    let desk = Desk::new().await;
    let envoy = desk.example().await;
    for (url, more, status, reason) in [
        ("https://api.anthropic.com/v1/files", "", "403", "denied_by_policy"),
        ("https://api.anthropic.com/v1/messages/", "", "403", "denied_by_policy"),
        ("https://api.anthropic.com/v1/%6dessages", "", "400", "bad_path"),
        (MESSAGES, "-H 'host: other.example'", "421", "misdirected"),
        (MESSAGES, "-X TRACE", "405", "method_not_allowed"),
        ("https://other.example/v1/messages", "-k", "403", "denied_by_policy"),
        ("https://other.example/v1/messages", "-k -H 'host: api.anthropic.com'", "421", "misdirected"),
        ("https://127.0.0.1/v1/messages", "-k -H 'host: api.anthropic.com'", "421", "misdirected"),
    ] {
        envoy.check_refused(url, more, status, reason).await;
    }
    envoy.check_injected(MESSAGES, "").await;
}

/// Gives each endpoint of the example a rule of its own.
fn split(config: &mut Value) {
    config["endpoints"] = json!([["/v1/messages"], ["/v1/complete"]]);
    let mut second = config["rules"][0].clone();
    second["endpoints"] = 1.into();
    config["rules"].as_array_mut().unwrap().push(second);
}

fn sealed_of(config: &mut Value, rule: usize) -> &mut Value {
    &mut config["rules"][rule]["then"]["inject"][0]["sealed"]
}

#[tokio::test]
async fn a_value_that_was_sealed_for_another_rule_does_not_open_and_its_neighbour_serves() {
    for moved in [false, true] {
        let desk = Desk::new().await;
        desk.change("filter.json", split);
        desk.prepare(|config| {
            if moved {
                *sealed_of(config, 1) = sealed_of(config, 0).clone();
            }
        });
        let envoy = desk.envoy(str::to_owned).await;
        envoy.check_injected(MESSAGES, "").await;
        if moved {
            envoy.check_refused(COMPLETE, "", "503", "credential_unavailable").await;
        } else {
            envoy.check_injected(COMPLETE, "").await;
        }
    }
}

#[tokio::test]
async fn a_rule_that_was_changed_after_it_was_sealed_does_not_open() {
    let desk = Desk::new().await;
    desk.prepare(|config| config["endpoints"][0].as_array_mut().unwrap().push("/v1/models".into()));
    let envoy = desk.envoy(str::to_owned).await;
    for url in [MESSAGES, "https://api.anthropic.com/v1/models"] {
        envoy.check_refused(url, "", "503", "credential_unavailable").await;
    }
}

#[tokio::test]
async fn without_the_sealing_key_nothing_is_injected() {
    for another in ["", "export KEYWARD_KEYRING=\"$(keyward keyring new)\"; "] {
        let desk = Desk::new().await;
        desk.prepare(|_| {});
        let keyring = "export KEYWARD_KEYRING=\"$(cat keyring)\"; ";
        // `env -i` leaves no PATH to find `keyward` by.
        let another =
            another.replace("keyward keyring", &format!("{} keyring", desk.path("bin/keyward").display()));
        let envoy = desk.envoy(|start| replaced(start, keyring, &another)).await;
        envoy.check_refused(MESSAGES, "", "503", "credential_unavailable").await;
    }
}

/// A key as it stands in text, and what of it stays the same in base64 whatever is around it.
fn spellings(key: &str) -> Vec<String> {
    let shifted = ["", "x", "xx"].into_iter().map(|shift| STANDARD_NO_PAD.encode(format!("{shift}{key}")));
    let encoded = shifted.map(|text| text[4..text.len() - 4].to_owned());
    std::iter::once(key.to_owned()).chain(encoded).collect()
}

fn holds(bytes: &[u8], needles: &[String]) -> bool {
    needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

/// The files in a folder that hold one of these; links are not followed.
fn files_with(folder: &Path, needles: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), needles));
        } else if kind.is_file() && holds(&std::fs::read(entry.path()).unwrap(), needles) {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn the_key_is_in_no_file_dump_or_log_and_the_sealing_key_only_in_its_own_file() {
    let desk = Desk::new().await;
    let mut envoy = desk.example().await;
    envoy.check_injected(MESSAGES, "").await;
    envoy.check_refused("https://api.anthropic.com/v1/files", "", "403", "denied_by_policy").await;
    let keyring = std::fs::read_to_string(desk.path("keyring")).unwrap();
    let sealing_key = vec![keyring.trim_end().split(':').nth(1).unwrap().to_owned()];
    let key = spellings(KEY);

    for path in ["/config_dump", "/stats", "/clusters", "/server_info"] {
        let answer = admin::ask(&desk.path("admin.sock"), path).unwrap();
        assert!(answer.starts_with("HTTP/1"), "{path}");
        assert!(!holds(answer.as_bytes(), &key) && !holds(answer.as_bytes(), &sealing_key), "{path}");
        assert!(!answer.contains("kw1."), "{path} shows what was sealed");
    }
    let dump = admin::ask(&desk.path("admin.sock"), "/config_dump").unwrap();
    assert!(dump.contains("[redacted]") && dump.contains("keyward-light"), "{dump}");

    envoy.process.stop();
    let written = [envoy.process.output(), envoy.process.errors()].concat().join("\n");
    assert!(written.contains("injected"), "no record of the request: {written}");
    assert!(!holds(written.as_bytes(), &key) && !holds(written.as_bytes(), &sealing_key), "{written}");
    assert_eq!(files_with(desk.folder.path(), &key), Vec::<PathBuf>::new());
    assert_eq!(files_with(desk.folder.path(), &sealing_key), [desk.path("keyring")]);
    assert!(files_with(desk.folder.path(), &["kw1.".into()]).contains(&desk.path("filter.sealed.json")));

    for secret in ["keyring", "certs/agent.key"] {
        let mode = std::fs::metadata(desk.path(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} is open to others");
    }

    // The search finds what it looks for.
    std::fs::write(desk.path("bin/leak"), format!("x-api-key: {KEY}")).unwrap();
    assert_eq!(files_with(desk.folder.path(), &key), [desk.path("bin/leak")]);
}

#[test]
fn the_example_strips_every_carrier_of_its_provider() {
    let config: Value =
        serde_json::from_slice(&std::fs::read(source().join("filter.json")).unwrap()).unwrap();
    let provider = policy::provider::Provider::Anthropic;
    assert_eq!(config["carriers"][0]["headers"], json!(provider.header_carriers()));
    assert_eq!(config["carriers"][0]["query"], json!(provider.query_carriers()));
    assert_eq!(config["rules"][0]["hosts"], json!(provider.hosts()));
}

/// Limits of agents' connections, of their requests, and of connections to the provider, as Envoy dumps them.
const MANAGER: [&str; 8] = [
    "stream_idle_timeout",
    "request_timeout",
    "request_headers_timeout",
    "max_request_headers_kb",
    "common_http_protocol_options",
    "path_with_escaped_slashes_action",
    "proxy_100_continue",
    "stream_error_on_invalid_http_message",
];
const HTTP2: [&str; 8] = [
    "max_concurrent_streams",
    "initial_stream_window_size",
    "initial_connection_window_size",
    "max_outbound_frames",
    "max_outbound_control_frames",
    "max_consecutive_inbound_frames_with_empty_payload",
    "max_inbound_priority_frames_per_stream",
    "max_inbound_window_update_frames_per_data_frame_sent",
];

/// The limits in a dump, of the manager with this prefix and of the cluster with this name.
fn limits(dump: &Value, prefix: &str, cluster: &str) -> Vec<(String, Value)> {
    let manager = dump::part(dump, |v| v["stat_prefix"] == prefix && v["http_filters"].is_array());
    let cluster =
        dump::part(dump, |v| v["name"] == cluster && v["typed_extension_protocol_options"].is_object());
    let options = &cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    let http2 = &options["auto_config"]["http2_protocol_options"];
    let of = |place: &str, value: &Value, fields: &[&str]| -> Vec<(String, Value)> {
        fields.iter().map(|field| (format!("{place} {field}"), value[*field].clone())).collect()
    };
    [
        of("manager", manager, &MANAGER),
        of("agents", &manager["http2_protocol_options"], &HTTP2),
        of("cluster", cluster, &["per_connection_buffer_limit_bytes", "connect_timeout"]),
        of("cluster", options, &["common_http_protocol_options"]),
        of("provider", http2, &HTTP2),
    ]
    .concat()
}

/// What is done, and when, as the heap fills.
fn overload(dump: &Value) -> Value {
    let manager = dump::part(dump, |value| value["resource_monitors"].is_array());
    let mut manager = manager.clone();
    // The number of connections may be less where the system allows fewer open files.
    let monitors = manager["resource_monitors"].as_array_mut().expect("monitors");
    monitors.retain(|monitor| monitor["name"] == "envoy.resource_monitors.fixed_heap");
    manager
}

#[tokio::test]
async fn the_example_has_the_limits_of_a_gateway() {
    let desk = Desk::new().await;
    let _envoy = desk.example().await;
    let example = dump::parse(&admin::ask(&desk.path("admin.sock"), "/config_dump").unwrap());
    let (_provider, gateway) = worked_example().await;
    let gateway = dump::parse(&gateway.admin("/config_dump"));
    let expected = limits(&gateway, "mitm", "credentialed");
    let written = expected.iter().filter(|(_, value)| !value.is_null()).count();
    assert!(written > 20, "only {written} limits in the gateway's dump");
    assert_eq!(limits(&example, "agent", "anthropic"), expected);
    assert_eq!(overload(&example), overload(&gateway));
    let allocator = |dump| dump::part(dump, |value| value["soft_memory_limit_bytes"].is_string()).clone();
    assert_eq!(allocator(&example), allocator(&gateway));
}

#[tokio::test]
async fn a_head_that_is_too_long_or_has_too_many_lines_is_refused() {
    let desk = Desk::new().await;
    let envoy = desk.example().await;
    let lines: String = (0..110).map(|number| format!(" -H 'x-line-{number}: 1'")).collect();
    for more in [format!("-H 'x-long: {}'", "x".repeat(62 << 10)), lines] {
        envoy.check_refused(MESSAGES, &more, "431", "").await;
    }
}
