//! A configuration of the filter as the controller would write it, with a key sealed into it.

use policy::seal::Keyring;
use policy::secret::Secret;
use policy::wire::{
    AgentSide, Carriers, Config, ConnectionFacts, Injection, Outcome, RecordText, Rule, Scrub, Target,
    Unlisted, VERSION,
};

/// The keyring of these tests, as it stands in the environment.
pub const KEYRING: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What the listener knows of the connections of the worked example's agents: their SNI, and the target of their CONNECT.
pub const FACTS: &str = "api.anthropic.com|api.anthropic.com:443";

/// The property that the module finds [`FACTS`] in.
pub const CONNECTION: (&str, &[u8]) = ("filter_state.keyward.connection", FACTS.as_bytes());

/// The worked example: one route to two endpoints of `api.anthropic.com`, `key` in `x-api-key`.
#[must_use]
pub fn worked_example(key: &str) -> Config {
    let texts = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let injection = Injection { policy: "default/anthropic".into(), target: 0, sealed: String::new() };
    let rule = Rule {
        route: "default/anthropic".into(),
        rank: 0,
        hosts: texts(&["api.anthropic.com"]),
        ports: vec![443],
        endpoints: Some(0),
        methods: None,
        models: None,
        carriers: 0,
        then: Outcome::Inject(vec![injection]),
    };
    let config = Config {
        version: VERSION,
        gateway: "default/echo-bot".into(),
        agent_side: AgentSide::Tls,
        connection_facts: ConnectionFacts::FilterState,
        record: RecordText::Json,
        telemetry: None,
        scrub: Scrub::default(),
        unlisted: Unlisted::Pass,
        other_hosts: Unlisted::Pass,
        endpoints: vec![texts(&["/v1/complete", "/v1/messages"])],
        methods: Vec::new(),
        carriers: vec![Carriers {
            headers: texts(&["authorization", "cookie", "x-api-key"]),
            query: Vec::new(),
            members: Vec::new(),
        }],
        models: Vec::new(),
        max_held_body: 8 << 20,
        targets: vec![Target::Header { name: "x-api-key".into(), prefix: String::new() }],
        rules: vec![rule],
    };
    sealed(config, key)
}

/// The worked example with another target, and all of the host's paths.
#[must_use]
pub fn worked_example_with(target: Target, secret: &str) -> Config {
    let mut config = worked_example("");
    config.targets = vec![target];
    config.rules[0].endpoints = None;
    sealed(config, secret)
}

/// The configuration with `key` sealed into every injection. Panics when that cannot be.
#[must_use]
pub fn sealed(mut config: Config, key: &str) -> Config {
    let keyring = Keyring::parse(KEYRING).expect("a keyring");
    let before = config.clone();
    for (rule, same) in config.rules.iter_mut().zip(&before.rules) {
        let Outcome::Inject(injections) = &mut rule.then else { continue };
        for injection in injections {
            let binding = before.binding(same, injection).expect("a rule whose tables are there");
            let secret = Secret::new(key.as_bytes().to_vec());
            injection.sealed = keyring.seal(&binding, &secret).expect("a key that can be sealed");
        }
    }
    config
}
