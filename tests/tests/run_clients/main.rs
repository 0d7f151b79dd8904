//! Unmodified clients under `keyward run`, each by its recipe in docs/clients.md: the provider gets the real key in its
//! place and nothing else, the client its answer, and its environment a placeholder.

mod agents;
mod packages;
mod recipes;
mod session;
mod world;

use harness::artefacts::root;
use harness::provider::{Provider, Received};
use harness::scenario::{KEY, PLACEHOLDER};

use session::{Session, in_a_world};
use world::{GIT_BASIC, OPENAI_KEY, World, path};

/// A client that asks one question of a model.
struct Client {
    /// As the page calls it.
    name: &'static str,
    /// Folders of `.tools` in which its programs are.
    tools: &'static [&'static str],
    provider: Model,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Model {
    Anthropic,
    OpenAi,
}

const fn client(name: &'static str, tools: &'static [&'static str], provider: Model) -> Client {
    Client { name, tools, provider }
}

const PYTHON: &[Client] = &[
    client("requests", &["python-sdks/bin"], Model::Anthropic),
    client("httpx", &["python-sdks/bin"], Model::Anthropic),
    client("urllib", &["python-sdks/bin"], Model::Anthropic),
    client("anthropic for Python", &["anthropic-2/bin"], Model::Anthropic),
    client("openai for Python", &["python-sdks/bin"], Model::OpenAi),
];

const NODE: &[Client] = &[
    client("fetch on Node 24", &[], Model::Anthropic),
    client("@anthropic-ai/sdk on Node 24", &[], Model::Anthropic),
    client("openai on Node 24", &[], Model::OpenAi),
];

const OTHERS: &[Client] = &[
    client("curl", &[], Model::Anthropic),
    client("wget", &[], Model::Anthropic),
    client("Go net/http", &[], Model::Anthropic),
    client("Java HttpClient", &[], Model::Anthropic),
    client("reqwest", &[], Model::Anthropic),
];

/// Asserts that a request carries this value in this header, no other credential and no placeholder.
fn assert_swapped(received: &Received, header: &str, value: &str, client: &str) {
    assert_eq!(received.values(header), [value], "{client}");
    let times = received.headers.iter().filter(|(_, other)| other.contains(value)).count();
    assert_eq!(times, 1, "{client}: {:?}", received.names());
    for other in ["authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"] {
        assert!(other == header || received.values(other).is_empty(), "{client}: {other}");
    }
    assert!(!received.mentions(PLACEHOLDER), "{client}: the placeholder went upstream");
}

/// Asserts that what others received, whatever it was, holds no key.
fn assert_no_key(provider: &Provider, client: &str) {
    for received in provider.take_requests() {
        for key in [KEY, OPENAI_KEY, GIT_BASIC] {
            assert!(!received.mentions(key), "{client}: {} got a key", received.authority);
        }
    }
}

impl World {
    /// Asserts that the only request of a client reached its provider with the key of that.
    fn assert_asked(&self, client: &Client) {
        let (provider, header, value) = match client.provider {
            Model::Anthropic => (&self.anthropic, "x-api-key", KEY.to_owned()),
            Model::OpenAi => (&self.openai, "authorization", format!("Bearer {OPENAI_KEY}")),
        };
        assert_swapped(&provider.only_request(), header, &value, client.name);
        assert!(self.anthropic.requests().is_empty() && self.openai.requests().is_empty(), "{}", client.name);
        assert_no_key(&self.others, client.name);
    }
}

async fn check(clients: &[Client]) {
    let (world, mut session) = in_a_world().await;
    for client in clients {
        let done = session.client(&recipes::of(client.name), client.tools).await.well(client.name);
        assert!(done.output.contains("Hello!"), "{}: {}", client.name, done.output);
        world.assert_asked(client);
    }
    let said = session.ended().await;
    for key in [KEY, OPENAI_KEY, GIT_BASIC] {
        assert!(!said.contains(key), "keyward run says a key");
    }
}

#[tokio::test]
async fn clients_in_python_get_their_answers_with_the_real_key_behind_them() {
    check(PYTHON).await;
}

#[tokio::test]
async fn clients_on_node_24_get_their_answers_with_the_real_key_behind_them() {
    check(NODE).await;
}

#[tokio::test]
async fn curl_wget_go_java_and_rust_get_their_answers_with_the_real_key_behind_them() {
    check(OTHERS).await;
}

#[tokio::test]
async fn git_clones_without_a_credential_and_with_one_that_it_was_asked_for() {
    let (world, mut session) = in_a_world().await;
    let real = format!("Basic {GIT_BASIC}");
    let done = session.client(&recipes::of("git"), &[]).await.well("git");
    assert_cloned(&world, &mut session, &done.folder.join("project")).await;
    for received in world.git.take_requests() {
        assert_swapped(&received, "authorization", &real, "git");
    }

    // The host refuses first whatever it is sent; then git asks its helper, and sends what it has: a placeholder.
    world.git.behave(|behaviour| behaviour.challenges = 1);
    let helper = format!("!f() {{ echo username=agent; echo password={PLACEHOLDER}; }}; f");
    let clone = "clone https://git.example.com/team/project.git";
    let done =
        session.client(&format!("git -c credential.helper='{helper}' {clone}\n"), &[]).await.well("git");
    assert_cloned(&world, &mut session, &done.folder.join("project")).await;
    let received = world.git.take_requests();
    assert_eq!(received[0].path, received[1].path, "the first request was not asked again");
    for received in &received {
        assert_swapped(received, "authorization", &real, "git");
        let sent = "YWdlbnQ6Y2xyay1pbmplY3RlZC1ieS1wcm94eQ==";
        assert!(!received.mentions(sent), "what git sent went upstream");
    }
    session.ended().await;
}

async fn assert_cloned(world: &World, session: &mut Session, project: &std::path::Path) {
    let log =
        session.client(&format!("git -C '{}' log --format=%s\n", project.display()), &[]).await.well("git");
    assert_eq!(log.output.trim_end(), world.subject());
}

/// Node 20 ignores the variables of a proxy: what it sends goes past the gateway.
#[tokio::test]
async fn a_node_that_reads_no_proxy_is_named_with_the_remedy() {
    let world = World::start().await;
    let ask = async |folders: &[&str]| {
        // With a network of its own: what passes the gateway by reaches nobody.
        let run = world.run(&world.manifests()).arguments(&["--network=gateway"]);
        let run = run.environment("PATH", &path(folders));
        let recipe = format!("cd '{}' && exec {}", root().display(), recipes::of("fetch on Node 24"));
        run.ended(&["sh", "-c", &recipe]).await
    };
    let old = ask(&["node-20/bin"]).await;
    let remedy = "is Node 20.20, which reads no proxy from the environment";
    let errors = &old.errors;
    assert!(errors.contains(remedy) && errors.contains("put Node 24 or newer first on the PATH"), "{errors}");
    assert!(old.code != Some(0) && errors.contains("fetch failed"), "{errors}");
    assert!(world.anthropic.requests().is_empty(), "it reads proxies after all");

    let new = ask(&[]).await;
    assert!(!new.errors.contains("reads no proxy"), "{}", new.errors);
    assert!(new.output.contains("Hello!"), "{}", new.output);
    assert_eq!(world.anthropic.take_requests().len(), 1);
}

#[test]
fn the_page_has_a_recipe_for_each_client_that_is_run_and_for_no_other() {
    let asked = [PYTHON, NODE, OTHERS].into_iter().flatten().map(|client| client.name);
    let mut run: Vec<_> = asked.chain(["git", "pip", "npm", "Claude Code", "Codex"]).collect();
    run.sort_unstable();
    assert_eq!(recipes::all().into_keys().collect::<Vec<_>>(), run);
}
