//! `keyward run` with nothing but a key: its provider is at the host that is documented for it, and outside is the
//! internet, or a proxy that leads there.

use std::process::{Command, Output, Stdio};

use harness::artefacts;
use harness::run::Run;
use harness::scenario::{KEY, PLACEHOLDER};
use serde_json::Value;

/// Asks the provider one thing with what the environment has for a key.
const ASK: &str = "curl --silent --show-error --fail-with-body https://api.anthropic.com/v1/messages \
    --header \"x-api-key: $ANTHROPIC_API_KEY\" --header 'content-type: application/json' \
    --data '{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'";

/// Dials the provider's address without any proxy.
const GO_AROUND: &str =
    "curl --silent --insecure --noproxy '*' --max-time 20 --output /dev/null https://11.22.33.44/";

/// A world with a provider, a proxy and nothing else, in namespaces of its own.
struct World(tempfile::TempDir);

/// What a command in it came to.
struct Ended {
    code: Option<i32>,
    output: String,
    errors: String,
    /// What the provider got.
    requests: Vec<Value>,
    /// What the proxy was asked for.
    asked: Vec<String>,
}

impl World {
    fn new() -> World {
        World(tempfile::tempdir().unwrap())
    }

    /// A run in it that has nothing but a key.
    fn run(&self) -> Run {
        let ca = self.0.path().join("ca.pem").display().to_string();
        Run::new().environment("ANTHROPIC_API_KEY", KEY).environment("SSL_CERT_FILE", &ca)
    }

    /// Runs this command under it.
    fn ended(self, run: &Run, command: &[&str]) -> Ended {
        let keyward = run.command(command);
        let mut whole = Command::new("unshare");
        let ways: &[&str] = match rustix::process::geteuid().is_root() {
            true => &["--net", "--mount"],
            false => &["--user", "--map-root-user", "--net", "--mount"],
        };
        whole.args(ways).arg("python3").arg(artefacts::root().join("tests/clients/provider_world.py"));
        whole.arg(self.0.path()).arg(env!("CARGO_BIN_EXE_provider"));
        whole.arg(keyward.get_program()).args(keyward.get_args());
        whole.env_clear().envs(keyward.get_envs().filter_map(|(name, value)| Some((name, value?))));
        whole.env("PROVIDER_KEY", KEY).current_dir(keyward.get_current_dir().unwrap());
        let Output { status, stdout, stderr } =
            whole.stdin(Stdio::null()).output().expect("unshare, of util-linux");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (output, errors) = (text(stdout), text(stderr));
        let read = |name: &str| std::fs::read_to_string(self.0.path().join(name));
        let requests = read("requests.json").unwrap_or_else(|_| panic!("{output}\n{errors}"));
        let log = read("proxy.log").unwrap();
        let asked = log.lines().filter_map(|line| line.split(": CONNECT ").nth(1)?.split(' ').next());
        let asked = asked.map(str::to_owned).collect();
        let requests = serde_json::from_str(&requests).unwrap();
        Ended { code: status.code(), output, errors, requests, asked }
    }
}

impl Ended {
    /// Asserts that the command was answered, and that its provider got the key and no placeholder.
    #[track_caller]
    fn assert_answered(&self) {
        assert_eq!(self.code, Some(0), "{}\n{}", self.output, self.errors);
        assert!(self.output.contains("Hello!"), "{}\n{}", self.output, self.errors);
        let questions: Vec<_> = self.requests.iter().filter(|it| it["path"] == "/v1/messages").collect();
        let [question] = questions[..] else { panic!("{:#?}", self.requests) };
        let text = question.to_string();
        assert!(text.matches(KEY).count() == 1 && !text.contains(PLACEHOLDER), "{question:#}");
        let everything = Value::from(self.requests.clone()).to_string();
        assert_eq!(everything.matches(KEY).count(), 1, "{everything}");
        assert!(self.errors.contains("keyward: api.anthropic.com: 1 injected\n"), "{}", self.errors);
        assert!(!self.output.contains(KEY) && !self.errors.contains(KEY));
    }
}

#[test]
fn a_key_is_all_it_takes() {
    let world = World::new();
    let run = world.run();
    let ended = world.ended(&run, &["sh", "-c", &format!("{ASK}; {GO_AROUND}; echo around $?")]);
    ended.assert_answered();
    // Without a network of its own it could go around the gateway, with a placeholder in its hands.
    assert!(ended.output.ends_with("around 0\n"), "{}", ended.output);
    assert!(ended.asked.is_empty(), "{:?}", ended.asked);
}

#[test]
fn alone_with_the_gateway_it_is_answered_and_reaches_nothing_else() {
    let world = World::new();
    let run = world.run().arguments(&["--network=gateway"]);
    let ended = world.ended(&run, &["sh", "-c", &format!("{ASK}; {GO_AROUND}; echo around $?")]);
    ended.assert_answered();
    // curl's code for no connection.
    assert!(ended.output.ends_with("around 7\n"), "{}", ended.output);
}

#[test]
fn the_gateway_goes_through_the_users_own_proxy() {
    for (variable, network) in [("HTTPS_PROXY", "host"), ("https_proxy", "gateway")] {
        let world = World::new();
        let run = world.run().environment(variable, "http://localhost:3128");
        let run = run.arguments(&[&format!("--network={network}")]);
        let ended = world.ended(&run, &["sh", "-c", ASK]);
        ended.assert_answered();
        assert_eq!(ended.asked, ["api.anthropic.com:443"], "{variable}");
        let said = format!("go through the proxy localhost:3128, which {variable} names\n");
        assert!(ended.errors.contains(&said), "{}", ended.errors);
    }
}

#[test]
fn a_proxy_that_no_proxy_excludes_is_left_out() {
    let world = World::new();
    let run = world.run().environment("HTTPS_PROXY", "http://localhost:3128").environment("NO_PROXY", "*");
    let ended = world.ended(&run, &["sh", "-c", ASK]);
    ended.assert_answered();
    assert!(ended.asked.is_empty(), "{:?}", ended.asked);
    assert!(ended.errors.contains("HTTPS_PROXY is not used"), "{}", ended.errors);
}

#[tokio::test]
async fn the_proxy_is_in_the_objects_that_are_printed() {
    let run = || Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&["--print-manifests"]);
    let line = "  upstreamProxy: {address: \"proxy.corp.example:3128\"}\n";
    assert!(!run().ended(&[]).await.output.contains("upstreamProxy"));
    let ended = run().environment("HTTPS_PROXY", "http://proxy.corp.example:3128").ended(&[]).await;
    assert!(ended.code == Some(0) && ended.output.contains(line), "{ended:?}");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_refused_without_a_word_of_its_password() {
    for (url, why) in [
        ("http://user:pa55word@proxy.example:3128", "a password"),
        ("socks5://pa55word.example:1080", "SOCKS"),
        ("https://pa55word.example:3128", "in TLS"),
    ] {
        let run = Run::new().environment("ANTHROPIC_API_KEY", KEY).environment("HTTPS_PROXY", url);
        let ended = run.ended(&["echo", "ran"]).await;
        assert_eq!((ended.code, ended.output.as_str()), (Some(2), ""), "{url}: {ended:?}");
        assert!(ended.errors.contains("HTTPS_PROXY names") && ended.errors.contains(why), "{url}: {ended:?}");
        assert!(!ended.errors.contains("pa55word"), "{url}: {ended:?}");
    }
}

#[tokio::test]
async fn aws_keys_are_said_to_be_for_bedrock_alone() {
    let said = |run: Run| async move {
        run.ended(&["true"]).await.errors.lines().filter(|line| line.contains("for Bedrock alone")).count()
    };
    let aws = Run::new().environment("AWS_ACCESS_KEY_ID", "AKIA0123456789ABCDEF");
    assert_eq!(said(aws.environment("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIexample0123")).await, 1);
    assert_eq!(said(Run::new().environment("OPENAI_API_KEY", "sk-0123456789abcdef")).await, 0);
}

#[tokio::test]
async fn a_command_that_asked_nothing_through_the_gateway_is_told_so_unless_it_is_to_be_quiet() {
    let line = "no request came through the gateway";
    let run = || Run::new().environment("ANTHROPIC_API_KEY", KEY);
    assert_eq!(run().ended(&["true"]).await.errors.matches(line).count(), 1);
    assert_eq!(run().arguments(&["--quiet"]).ended(&["true"]).await.errors, "");
    let asked = run().ended(&["curl", "--silent", "https://nowhere.invalid/"]).await;
    assert!(!asked.errors.contains(line), "{}", asked.errors);
}
