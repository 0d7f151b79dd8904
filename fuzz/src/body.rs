//! Requests that wait for their bodies: a signature is made or refused, always the same, and stands alone; a model is
//! read only where every reader finds the same one.
//!
//! Input: request target, header name, header value, and the body, a line each but the last.

use std::rc::Rc;
use std::time::Duration;

use policy::aws::{BodyHash, Keys};
use policy::decide::{Decision, Edit, Facts, Head, Needs, Plan, Step};
use policy::google::{Account, Claims, Signer};
use policy::model::Body;
use policy::rules::{RuleSet, Vault};
use policy::secret::Secret;
use policy::wire::{
    AgentSide, Carriers, Config, ConnectionFacts, DEFAULT_MAX_HELD_BODY, Injection, ModelSource, Models,
    Outcome, RecordText, Rule, Scrub, Target, Unlisted, VERSION,
};
use serde_json::Value;

use crate::head::{keyring, seal};
use crate::input::lines;

const HOST: &str = "s3.eu-central-1.amazonaws.com";

/// 2015-08-30T12:36:00Z.
const NOW: Duration = Duration::from_secs(1_440_938_160);

/// A signature is right or refused, and a model is the only one.
pub fn holds(input: &[u8]) {
    let [target, name, value, body] = lines(input);
    let head = Head {
        method: b"POST",
        scheme: b"https",
        authority: HOST.as_bytes(),
        path: target,
        headers: vec![(b"content-type", b"application/json"), (name, value)],
        ..Head::default()
    };
    let [s3, bedrock, models] = &*RULES.with(Rc::clone);
    for rules in [s3, bedrock] {
        assert_eq!(signed(rules, &head, body), signed(rules, &head, body), "another signature");
    }
    if let Ok(plan) = decided(models, &head, body)
        && plan.decision == Decision::Injected
    {
        check_model(body);
    }
}

thread_local! {
    /// Sealing and opening take longer than deciding.
    static RULES: Rc<[RuleSet; 3]> = Rc::new([
        rules(Target::AwsV4 { region: None, service: "s3".to_owned() }, false),
        rules(Target::AwsV4 { region: None, service: "bedrock".to_owned() }, false),
        rules(Target::Header { name: "x-api-key".to_owned(), prefix: String::new() }, true),
    ]);
}

fn rules(target: Target, by_model: bool) -> RuleSet {
    let rule = Rule {
        route: "default/route".to_owned(),
        rank: 0,
        hosts: vec![HOST.to_owned()],
        ports: vec![443],
        endpoints: None,
        methods: None,
        models: by_model.then_some(0),
        carriers: 0,
        then: Outcome::Inject(vec![Injection {
            policy: "default/key".to_owned(),
            target: 0,
            sealed: String::new(),
        }]),
    };
    let mut config = Config {
        version: VERSION,
        gateway: "default/g".to_owned(),
        agent_side: AgentSide::Tls,
        connection_facts: ConnectionFacts::FilterState,
        record: RecordText::Json,
        telemetry: None,
        scrub: Scrub::default(),
        unlisted: Unlisted::Deny,
        other_hosts: Unlisted::Deny,
        endpoints: Vec::new(),
        methods: Vec::new(),
        models: vec![Models { source: ModelSource::Body, globs: vec!["m*".to_owned()] }],
        max_held_body: DEFAULT_MAX_HELD_BODY,
        carriers: vec![Carriers { headers: Vec::new(), query: Vec::new(), members: Vec::new() }],
        targets: vec![target],
        rules: vec![rule],
    };
    let keys = Keys::join(b"AKIDEXAMPLE", b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None);
    let Ok(keys) = keys else { panic!("keys") };
    let secret = if by_model { b"sk-ant-0123456789".to_vec() } else { keys.expose().to_vec() };
    seal(&mut config, |_| Some(secret.clone()));
    let bytes = serde_json::to_vec(&config).unwrap_or_default();
    let Ok(rules) = RuleSet::compile(&bytes, &mut Vault::new(Some(keyring()))) else {
        panic!("a sound configuration")
    };
    rules
}

fn decided(rules: &RuleSet, head: &Head<'_>, body: &[u8]) -> Result<Plan, String> {
    let connection = format!("{HOST}|-");
    let step = rules.decide(&Facts::parse(connection.as_bytes()), head, Body::Whole(body));
    step.and_then(Step::plan).map_err(|denial| denial.reason.to_string())
}

struct NoSigner;

impl Signer for NoSigner {
    fn sign(&self, _: &Account, _: &Claims<'_>) -> Option<Secret> {
        None
    }
}

/// What a request is signed with, or why it is not.
fn signed(rules: &RuleSet, head: &Head<'_>, body: &[u8]) -> Result<String, String> {
    let mut plan = decided(rules, head, body)?;
    assert!(plan.decision == Decision::Signed && plan.needs() != Needs::Nothing);
    let mut hash = BodyHash::default();
    hash.update(body);
    plan.finish(head, NOW, hash, &NoSigner).map_err(|denial| denial.reason.to_string())?;
    let set = |wanted: &str| -> Vec<String> {
        let values = plan.edits.iter().filter_map(|edit| match edit {
            // Exposed to be compared.
            Edit::SetHeader { name, value } if name == wanted => Some(value.expose()),
            _ => None,
        });
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    };
    let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1/";
    let [authorization] = set("authorization").try_into().expect("one authorization");
    assert!(authorization.starts_with(start), "{authorization}");
    assert_eq!(set("x-amz-date"), ["20150830T123600Z"]);
    assert!(!authorization.contains("SignedHeaders=authorization"), "{authorization}");
    Ok(authorization)
}

/// Whoever reads the body finds one model, by the name that the rule is for.
fn check_model(body: &[u8]) {
    let value: Value = serde_json::from_slice(body).expect("JSON");
    let members = value.as_object().expect("an object");
    let named: Vec<_> = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case("model")).collect();
    assert_eq!(named.len(), 1, "members that may be the model");
    assert!(named[0].1.as_str().is_some_and(|model| model.starts_with('m')), "another model");
}
