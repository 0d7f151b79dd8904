//! `keyward run`: one command behind a gateway, with none of the keys, and what is left when it has ended.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use harness::client::{Http, Request};
use harness::gateway::{Gateway, HOST, Manifests};
use harness::provider::Provider;
use harness::run::Run;
use harness::scenario::{KEY, PLACEHOLDER};
use rustix::process::Signal;

/// Asks the provider one thing with what the environment has for a key.
const CURL: &str = "curl --silent --show-error https://api.anthropic.com/v1/messages \
    --header \"x-api-key: $ANTHROPIC_API_KEY\" --header 'content-type: application/json' \
    --data '{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'";

/// What `--print-manifests` prints for the key of Anthropic.
async fn printed() -> String {
    let ended =
        Run::new().environment("ANTHROPIC_API_KEY", KEY).arguments(&["--print-manifests"]).ended(&[]).await;
    assert_eq!((ended.code, ended.errors.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!ended.output.contains(KEY));
    ended.output
}

/// The generated objects, with their host at this provider.
async fn generated(provider: &Provider) -> Manifests {
    Manifests::empty().file("run.yaml", &printed().await).alias(&[HOST], provider)
}

/// A run of the generated objects, the key in `ANTHROPIC_API_KEY`.
async fn run_with(provider: &Provider) -> Run {
    Run::with(&generated(provider).await)
        .environment("ANTHROPIC_API_KEY", KEY)
        .arguments(&["--secret", "anthropic=ANTHROPIC_API_KEY:api-key"])
}

/// A run without manifests, with a key that nothing is sent with.
fn bare() -> Run {
    Run::new().environment("ANTHROPIC_API_KEY", KEY)
}

fn variables(output: &str) -> BTreeMap<String, String> {
    let pairs = output.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn the_provider_gets_the_key_and_the_command_a_placeholder() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let run = run_with(&provider).await;
    let ended = run.ended(&["sh", "-c", &format!("{CURL}; echo; echo \"$ANTHROPIC_API_KEY\"")]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.output.contains("Hello!") && ended.output.ends_with(&format!("\n{PLACEHOLDER}\n")),
        "{ended:?}"
    );
    let received = provider.only_request();
    assert_eq!(received.values("x-api-key"), [KEY]);
    assert!(!received.mentions(PLACEHOLDER));
    assert!(ended.errors.contains("keyward: api.anthropic.com: 1 injected\n"), "{}", ended.errors);
    assert!(!ended.output.contains(KEY) && !ended.errors.contains(KEY));
}

#[tokio::test]
async fn what_the_requests_cost_is_said_at_the_end() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let run = run_with(&provider).await;
    let ended = run.ended(&["sh", "-c", &format!("{CURL}; {CURL}")]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = "keyward: m: 2 requests, 24 tokens in, 12 out\n";
    assert!(ended.errors.contains(line), "{}", ended.errors);
}

#[tokio::test]
async fn what_is_printed_is_served_by_dev_with_the_flags_that_it_names() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let text = printed().await;
    let flags = text.lines().filter_map(|line| line.strip_prefix("#     "));
    let flags: Vec<&str> = flags.flat_map(|line| line.trim_end_matches('\\').split_whitespace()).collect();
    assert_eq!(flags, ["--secret", "anthropic=ANTHROPIC_API_KEY:api-key"]);
    let gateway = Gateway::builder(generated(&provider).await)
        .environment("ANTHROPIC_API_KEY", KEY)
        .arguments(&flags)
        .start()
        .await;
    assert_eq!(gateway.ready().key, "default/run");
    assert_eq!(gateway.agent(Http::Two, HOST).send(&Request::messages()).await.unwrap().status, 200);
    assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
}

#[tokio::test]
async fn it_ends_as_its_command_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a program").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (command, code) in [
        (&["--", "true"][..], 0),
        (&["true"], 0),
        (&["--", "sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["--", "there-is-no-such-command"], 127),
        (&["--", file.to_str().unwrap()], 126),
        (&["--", folder.path().to_str().unwrap()], 126),
        (&[], 2),
        (&["--unknown", "true"], 2),
    ] {
        let run = bare();
        let ended = run.ended(command).await;
        assert_eq!(ended.code, Some(code), "{command:?}: {ended:?}");
        let is_said = [2, 126, 127].contains(&code);
        assert_eq!(
            is_said,
            ended.errors.contains("cannot be executed")
                || ended.errors.contains("not found")
                || ended.errors.contains("Usage"),
            "{command:?}: {ended:?}"
        );
        // What cannot be run was found out before anything was started.
        assert_eq!(is_said, !ended.errors.contains("stays here"), "{command:?}: {ended:?}");
        assert!(run.left().is_empty(), "{command:?} left {:?}", run.left());
    }
}

#[tokio::test]
async fn standard_output_is_the_commands_alone_and_quiet_says_nothing() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let run = run_with(&provider).await.arguments(&["--quiet"]);
    let ended = run
        .ended(&["sh", "-c", &format!("printf 'a\\nb'; {CURL} --output /dev/null; echo trouble >&2")])
        .await;
    assert_eq!((ended.code, ended.output.as_str(), ended.errors.as_str()), (Some(0), "a\nb", "trouble\n"));
    assert_eq!(provider.only_request().values("x-api-key"), [KEY]);
}

#[tokio::test]
async fn a_refusal_is_said_once_and_counted() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let denying = generated(&provider)
        .await
        .replace("[{provider: anthropic}]", "[{provider: anthropic, endpoints: [/v1/messages]}]");
    let run = Run::with(&denying.replace("defaultPolicy: allow-all", "defaultPolicy: deny-all"))
        .environment("ANTHROPIC_API_KEY", KEY)
        .arguments(&["--secret", "anthropic=ANTHROPIC_API_KEY:api-key"]);
    let elsewhere = "curl --silent --output /dev/null https://api.anthropic.com/v1/other; \
        curl --silent --output /dev/null https://api.anthropic.com/v1/other; \
        curl --silent https://elsewhere.test/; true";
    let ended = run.ended(&["sh", "-c", elsewhere]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines = |words: &[&str]| {
        ended.errors.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    assert_eq!(lines(&["GET api.anthropic.com/v1/other denied"]), 1, "{}", ended.errors);
    assert_eq!(lines(&["keyward: api.anthropic.com: 2 denied ("]), 1, "{}", ended.errors);
    assert_eq!(lines(&["CONNECT elsewhere.test:443 refused"]), 1, "{}", ended.errors);
    assert_eq!(lines(&["keyward: elsewhere.test: 1 denied ("]), 1, "{}", ended.errors);
    assert!(provider.requests().is_empty());
}

#[tokio::test]
async fn no_variable_of_the_command_holds_a_key() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let run = Run::with(&generated(&provider).await)
        .environment("MY_KEY", KEY)
        .environment("ANTHROPIC_CUSTOM_HEADERS", &format!("x-api-key: {KEY}"))
        .environment("OPENAI_API_KEY", "sk-openai-0123456789")
        .environment("HARMLESS", "yes")
        .arguments(&["--secret", "anthropic=MY_KEY:api-key"]);
    let ended = run.ended(&["env"]).await;
    let all = variables(&ended.output);
    assert!(!ended.output.contains(KEY) && !ended.output.contains("sk-openai"), "{}", ended.output);
    for gone in ["MY_KEY", "ANTHROPIC_CUSTOM_HEADERS", "OPENAI_API_KEY"] {
        assert!(!all.contains_key(gone), "{gone}");
    }
    assert_eq!((all["HARMLESS"].as_str(), all["ANTHROPIC_API_KEY"].as_str()), ("yes", PLACEHOLDER));
    assert!(ended.errors.contains("ANTHROPIC_CUSTOM_HEADERS is kept from the command"), "{}", ended.errors);
    assert!(ended.errors.contains("OPENAI_API_KEY is kept from the command"), "{}", ended.errors);
}

#[tokio::test]
async fn the_command_reaches_directly_what_the_user_said_but_no_credentialed_host() {
    let run =
        bare().environment("NO_PROXY", "corp.example,.anthropic.com,10.0.0.0/8").environment("no_proxy", "*");
    let ended = run.ended(&["env"]).await;
    let all = variables(&ended.output);
    let expected = "localhost,127.0.0.1,::1,corp.example,10.0.0.0/8";
    assert_eq!((all["NO_PROXY"].as_str(), all["no_proxy"].as_str()), (expected, expected));
    assert!(ended.errors.contains("left out of NO_PROXY"), "{}", ended.errors);
    assert!(ended.errors.contains(": .anthropic.com, *\n"), "{}", ended.errors);
}

#[tokio::test]
async fn a_key_that_is_none_is_said_and_nothing_is_started() {
    for (variable, value, words) in [
        ("UNRELATED", "x", &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "--manifests"][..]),
        ("ANTHROPIC_API_KEY", "", &["ANTHROPIC_API_KEY is empty", "--manifests"]),
        ("ANTHROPIC_API_KEY", PLACEHOLDER, &["ANTHROPIC_API_KEY is the placeholder"]),
        ("AZURE_OPENAI_API_KEY", "0123456789abcdef", &["AZURE_OPENAI_ENDPOINT"]),
    ] {
        let ended = Run::new().environment(variable, value).ended(&["true"]).await;
        assert_eq!(ended.code, Some(2), "{variable}: {ended:?}");
        assert!(words.iter().all(|word| ended.errors.contains(word)), "{variable}: {}", ended.errors);
    }
}

#[tokio::test]
async fn a_secret_that_cannot_work_is_refused_before_anything_is_started() {
    let provider = Provider::accepting(KEY).await.unwrap();
    for (value, word) in
        [(None, "not set"), (Some(""), "is empty"), (Some(PLACEHOLDER), "is the placeholder")]
    {
        let mut run = Run::with(&generated(&provider).await).arguments(&["--secret", "anthropic=MY_KEY"]);
        if let Some(value) = value {
            run = run.environment("MY_KEY", value);
        }
        let ended = run.ended(&["true"]).await;
        assert_eq!(ended.code, Some(2), "{value:?}: {ended:?}");
        assert!(
            ended.errors.contains("MY_KEY") && ended.errors.contains(word),
            "{value:?}: {}",
            ended.errors
        );
    }
}

#[tokio::test]
async fn one_of_several_gateways_is_named_and_the_message_lists_them() {
    let provider = Provider::accepting(KEY).await.unwrap();
    let other = printed().await.replace("{name: run}", "{name: other}").replace("name: run,", "name: other,");
    let other = other.split("---").next().unwrap().to_owned();
    let manifests = generated(&provider).await.file("other.yaml", &other);
    let run = |arguments: &[&str]| {
        Run::with(&manifests)
            .environment("ANTHROPIC_API_KEY", KEY)
            .arguments(&["--secret", "anthropic=ANTHROPIC_API_KEY:api-key"])
            .arguments(arguments)
    };
    for arguments in [&[][..], &["--gateway", "nowhere"]] {
        let ended = run(arguments).ended(&["true"]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.errors.contains("default/other, default/run"), "{}", ended.errors);
    }
    let ended = run(&["--gateway", "run"]).ended(&["sh", "-c", CURL]).await;
    assert!(ended.code == Some(0) && ended.output.contains("Hello!"), "{ended:?}");
}

#[tokio::test]
async fn manifests_without_a_gateway_that_can_serve_are_said_and_end_it() {
    let broken = printed().await.replace("allow-all", "allow-some");
    let ended = Run::with(&Manifests::empty().file("run.yaml", &broken)).ended(&["true"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.errors.contains("run.yaml") && ended.errors.contains("defaultPolicy"), "{}", ended.errors);
}

#[tokio::test]
async fn two_runs_work_side_by_side_but_not_on_one_state_directory() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let (first, second) = (bare().arguments(&["--state-dir", state]), bare());
    let mut process = first.spawn(&["sh", "-c", "echo started; exec sleep 60"]);
    process.first_line(Duration::from_secs(60)).await.unwrap();
    assert_eq!(second.ended(&["true"]).await.code, Some(0));
    let beside = bare().arguments(&["--state-dir", state]).ended(&["true"]).await;
    assert_eq!(beside.code, Some(1), "{beside:?}");
    assert!(beside.errors.contains(state) && beside.errors.contains("--state-dir"), "{}", beside.errors);
    process.signal(Signal::TERM);
    assert_eq!(process.ended(Duration::from_secs(20)).await, Ok(Some(128 + 15)));
    first.gone().await;
}

/// The proxy that a command of this script prints first, once it runs.
async fn started(run: &Run, script: &str) -> (harness::process::Process, std::net::SocketAddr) {
    let mut process = run.spawn(&["sh", "-c", &format!("echo \"$HTTPS_PROXY\"; {script}")]);
    let proxy = process.first_line(Duration::from_secs(60)).await.unwrap();
    (process, proxy.strip_prefix("http://").unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_signal_goes_on_to_the_command_whose_end_counts() {
    for signal in [Signal::TERM, Signal::HUP] {
        let run = bare();
        // The word comes after the trap: until there is one, a signal ends the shell.
        let trap = "trap 'kill $!; exit 7' TERM HUP; echo ready; sleep 60 & wait";
        let mut process = run.spawn(&["sh", "-c", trap]);
        process.first_line(Duration::from_secs(60)).await.unwrap();
        process.signal(signal);
        assert_eq!(process.ended(Duration::from_secs(20)).await, Ok(Some(7)), "{signal:?}");
        run.gone().await;
        assert!(run.left().is_empty(), "{signal:?} left {:?}", run.left());
    }
}

/// The command stops `keyward`, often before that has seen it start, so that its start and the signal are seen at once.
#[tokio::test]
async fn a_signal_that_comes_while_the_command_starts_is_the_commands() {
    let script = "trap 'exit 7' TERM
        while read -r name value; do test $name = PPid: && keyward=$value; done < /proc/$PPID/status
        kill -STOP $keyward; sleep 0.1; kill -TERM $keyward; kill -CONT $keyward; sleep 60 & wait";
    for time in 1..=4 {
        let ended = bare().arguments(&["--isolate=off"]).ended(&["sh", "-c", script]).await;
        assert_eq!(ended.code, Some(7), "the {time}th time: {ended:?}");
    }
}

#[tokio::test]
async fn a_kill_leaves_no_process_and_no_listening_port_behind() {
    let run = bare();
    let (mut process, proxy) = started(&run, "sleep 60 & sleep 60").await;
    assert!(run.processes().len() > 3, "{:?}", run.processes());
    process.signal(Signal::KILL);
    assert_eq!(process.ended(Duration::from_secs(30)).await, Ok(None));
    run.gone().await;
    let end = Instant::now() + Duration::from_secs(2);
    while TcpStream::connect(proxy).is_ok() {
        assert!(Instant::now() < end, "{proxy} still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_signal_before_the_command_runs_ends_everything() {
    let run = bare();
    let mut process = run.spawn(&["sh", "-c", "echo started; sleep 60"]);
    let end = Instant::now() + Duration::from_secs(20);
    while !process.errors().iter().any(|line| line.contains("stays here")) {
        assert!(Instant::now() < end, "{:?}", process.errors());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.signal(Signal::TERM);
    assert_eq!(process.ended(Duration::from_secs(20)).await, Ok(Some(128 + 15)));
    run.gone().await;
    assert!(process.output().is_empty(), "{:?}", process.output());
    assert!(run.left().is_empty(), "{:?}", run.left());
}

#[tokio::test]
async fn a_file_with_a_key_in_the_working_directory_is_said() {
    for isolate in ["auto", "off"] {
        let run = bare().arguments(&[&format!("--isolate={isolate}")]);
        std::fs::write(run.working_directory().join(".env"), format!("KEY={KEY}\n")).unwrap();
        let ended = run.ended(&["cat", ".env"]).await;
        let line = ended.errors.lines().find(|line| line.contains(".env")).unwrap_or_default();
        let is_readable = ended.output.contains(KEY);
        assert_eq!(is_readable, line.contains("the command can read it"), "{isolate}: {ended:?}");
        assert_eq!(is_readable, ended.errors.contains("not isolated"), "{isolate}: {ended:?}");
        assert_eq!(
            (isolate == "off" || is_readable, line.is_empty()),
            (is_readable, false),
            "{isolate}: {ended:?}"
        );
    }
}
