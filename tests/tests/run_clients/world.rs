//! Where the clients are: providers of everything that they ask for, and a gateway that has a key for three hosts.

use harness::artefacts::tool;
use harness::gateway::Manifests;
use harness::objects;
use harness::provider::{Behaviour, Options, Packages, Projects, Provider};
use harness::run::Run;
use harness::scenario::KEY;

pub(crate) const OPENAI_KEY: &str = "sk-proj-real-9Gk2hQ5xV7nB3zLs8WtY";

/// `agent:token-real-…`, as basic authentication has it.
pub(crate) const GIT_BASIC: &str = "YWdlbnQ6dG9rZW4tcmVhbC03UTJ3RTRyVDZ5";

/// Hosts that agents ask besides, for plugins and news: none of them may get a key.
const OTHERS: &[&str] = &["chatgpt.com", "github.com", "api.github.com"];

const PACKAGES: &str = "packages.example";

/// Each host, the route's match, the header and its prefix, and the variable with the key.
const ROUTES: &[(&str, &str, &str, &str, &str)] = &[
    ("anthropic", "{provider: anthropic, endpoints: [/v1/messages]}", "x-api-key", "", "ANTHROPIC_API_KEY"),
    (
        "openai",
        "{provider: openai, endpoints: [/v1/responses]}",
        "authorization",
        "Bearer ",
        "OPENAI_API_KEY",
    ),
    ("git", "{provider: custom, hosts: [git.example.com]}", "authorization", "Basic ", "GIT_BASIC"),
];

/// Everything that the clients ask.
pub(crate) struct World {
    pub(crate) anthropic: Provider,
    pub(crate) openai: Provider,
    pub(crate) git: Provider,
    pub(crate) packages: Provider,
    pub(crate) others: Provider,
    projects: Projects,
    _index: Packages,
}

impl World {
    /// Starts every provider.
    pub(crate) async fn start() -> World {
        let (projects, index) = (Projects::new("team/project.git"), Packages::new(PACKAGES));
        let accepting = |key: &str| Behaviour { key: Some(key.to_owned()), ..Behaviour::default() };
        let git = Behaviour { projects: Some(projects.folder().to_owned()), ..accepting(GIT_BASIC) };
        let packages = Behaviour { packages: Some(index.folder().to_owned()), ..Behaviour::default() };
        let nothing = Behaviour { status: Some(404), ..Behaviour::default() };
        World {
            anthropic: provider(&["api.anthropic.com"], accepting(KEY)).await,
            openai: provider(&["api.openai.com"], accepting(OPENAI_KEY)).await,
            git: provider(&["git.example.com"], git).await,
            packages: provider(&[PACKAGES], packages).await,
            others: provider(OTHERS, nothing).await,
            projects,
            _index: index,
        }
    }

    /// The subject of the only commit of the project.
    pub(crate) fn subject(&self) -> String {
        self.projects.subjects().remove(0)
    }

    /// The objects.
    pub(crate) fn manifests(&self) -> Manifests {
        let mut text = objects::gateway("agents", "allow-all");
        for (name, matches, header, prefix, _) in ROUTES {
            text.push_str(&route(name, matches, header, prefix));
        }
        Manifests::empty()
            .file("agents.yaml", &text)
            .alias(&["api.anthropic.com"], &self.anthropic)
            .alias(&["api.openai.com"], &self.openai)
            .alias(&["git.example.com"], &self.git)
            .alias(&[PACKAGES], &self.packages)
            .alias(OTHERS, &self.others)
    }

    /// A `keyward run` that is given every key, to be started.
    pub(crate) fn run(&self, manifests: &Manifests) -> Run {
        let mut run = Run::with(manifests).environment("PATH", &path(&["python-sdks/bin"]));
        for (name, _, _, _, variable) in ROUTES {
            run = run.arguments(&["--secret", &format!("{name}-credentials={variable}")]);
        }
        run.environment("ANTHROPIC_API_KEY", KEY)
            .environment("OPENAI_API_KEY", OPENAI_KEY)
            .environment("GIT_BASIC", GIT_BASIC)
    }
}

/// Where programs are found: in these folders, then the pinned Node and tools, then as the machine has it.
pub(crate) fn path(first: &[&str]) -> String {
    let ours = ["node/bin", "node/node_modules/.bin", "claude-code/bin", "codex/bin", "bin"];
    let folders = first.iter().chain(&ours).map(|folder| tool(folder));
    let machine = std::env::var("PATH").expect("a PATH");
    let all: Vec<_> = folders.chain(std::env::split_paths(&machine)).collect();
    std::env::join_paths(all).expect("folders without a colon").into_string().expect("UTF-8")
}

async fn provider(hosts: &[&str], behaviour: Behaviour) -> Provider {
    let names = hosts.iter().map(ToString::to_string).collect();
    Provider::start(Options { names, behaviour, ..Options::default() }).await.expect("a provider")
}

fn route(name: &str, matches: &str, header: &str, prefix: &str) -> String {
    let secret = format!("{name}-credentials");
    let spec = format!("secretKey: key, target: Header, headerName: {header}, valuePrefix: '{prefix}'");
    [
        objects::secret(&secret, &[("key", "")]),
        objects::route(name, &["agents"], matches),
        objects::policy(name, &secret, &spec),
    ]
    .concat()
}
