//! A request that goes out with a credential goes where the rule says, and no credential but ours goes with it.
//!
//! Input, by lines: server name, CONNECT target, method, scheme, authority, path, then `name: value` each.

use std::rc::Rc;

use policy::decide::{Decision, Edit, Facts, Head, Plan, Step};
use policy::header_map::HeaderMap;
use policy::model::Body;
use policy::rules::{RuleSet, Vault};
use policy::seal::Keyring;
use policy::secret::Secret;
use policy::wire::{
    AgentSide, Carriers, Config, ConnectionFacts, DEFAULT_MAX_HELD_BODY, Injection, Outcome, RecordText,
    Rule, Scrub, Target, Unlisted, VERSION,
};

use crate::input::{lines, percent_decoded};

const KEYRING: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const CREDENTIAL: &str = "sk-live-0123456789";
const HOST: &str = "api.example.com";

/// Names that tell someone behind us another path, method, host or caller.
const CONTROL: [&str; 9] = [
    "x-envoy-",
    "x-forwarded-",
    "x-keyward-",
    "forwarded",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// A request as the agent sent it, on its connection.
pub(crate) struct Request<'a> {
    sni: &'a [u8],
    target: &'a [u8],
    map: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Request<'a> {
    pub(crate) fn read(input: &'a [u8]) -> Request<'a> {
        let [sni, target, method, scheme, authority, path, headers] = lines(input);
        let mut map: Vec<(&[u8], &[u8])> =
            vec![(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)];
        for line in headers.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            // The first character may be the colon of a pseudo-header.
            let colon = line.iter().skip(1).position(|b| *b == b':').map_or(line.len(), |at| at + 1);
            map.push((&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii()));
        }
        Request { sni, target, map }
    }

    pub(crate) fn facts(&self) -> Facts<'a> {
        let some = |part: &'a [u8]| (!part.is_empty()).then_some(part);
        Facts::Tls { sni: some(self.sni), target: some(self.target) }
    }

    pub(crate) fn head(&self) -> Head<'a> {
        Head::from_map(self.map.iter().copied())
    }
}

thread_local! {
    /// Sealing and opening take longer than deciding.
    static RULES: Rc<[(Unlisted, RuleSet); 2]> =
        Rc::new([Unlisted::Pass, Unlisted::Deny].map(|unlisted| (unlisted, rules(unlisted))));
}

/// Under rules that pass what is not listed, and under rules that refuse it.
pub fn holds(input: &[u8]) {
    check_serialized(input);
    let request = Request::read(input);
    let head = request.head();
    for (unlisted, rules) in RULES.with(Rc::clone).iter() {
        let step = rules.decide(&request.facts(), &head, Body::Unread);
        let Ok(plan) = step.and_then(Step::plan) else { continue };
        let host = String::from_utf8_lossy(head.authority).to_ascii_lowercase();
        let host = host.split(':').next().unwrap_or_default();
        let is_ours = host == HOST || is_of_pattern(host);
        assert_eq!(is_ours, plan.reason.is_none_or(|reason| reason.as_str() != "host_not_listed"));
        assert!(plan.decision != Decision::Denied);
        assert!(*unlisted == Unlisted::Pass || plan.decision == Decision::Injected);
        check_headers(&head, &plan, is_ours);
        if plan.decision == Decision::Injected {
            check_destination(&request, &head, host);
        }
    }
}

fn is_of_pattern(host: &str) -> bool {
    host.strip_suffix(".pattern.example").is_some_and(|label| !label.contains('.'))
}

/// What leaves: the edits carried out as Envoy does.
/// The same bytes as a header map that the host has serialized: what is read of it was there.
fn check_serialized(input: &[u8]) {
    let Some(map) = HeaderMap::from_wire(input.to_vec()) else { return };
    let length: usize = map.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    assert!(length <= input.len(), "more than was sent");
}

fn check_headers(head: &Head<'_>, plan: &Plan, is_ours: bool) {
    let mut left: Vec<(String, Vec<u8>)> = head
        .headers
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        .collect();
    let mut path = head.path.to_vec();
    for edit in &plan.edits {
        match edit {
            Edit::RemoveHeader(name) => {
                let before = left.len();
                left.retain(|(other, _)| other != name);
                assert!(left.len() < before, "a header removed that is not there");
            }
            // Exposed to be looked at: no rule here fills the query.
            Edit::SetPath(new) => path = new.expose().to_vec(),
            Edit::SetHeader { name, value } => {
                left.retain(|(other, _)| other != name);
                // Exposed to be compared with what was sealed.
                left.push((name.clone(), value.expose().to_vec()));
            }
        }
    }
    let folded = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let named = |wanted: &str| left.iter().filter(|(name, _)| folded(name) == wanted).collect::<Vec<_>>();
    assert!(named("proxy-authorization").is_empty());
    for (name, _) in &left {
        let name_folded = folded(name);
        let control = CONTROL.iter().any(|control| match control.ends_with('-') {
            true => name_folded.starts_with(control),
            false => name_folded == *control,
        });
        assert!(!control || name == "x-forwarded-proto", "{name} is left");
    }
    if is_ours {
        let injected = plan.decision == Decision::Injected;
        let ours: Vec<Vec<u8>> = named("x-api-key").into_iter().map(|(_, value)| value.clone()).collect();
        let bearer: Vec<Vec<u8>> =
            named("authorization").into_iter().map(|(_, value)| value.clone()).collect();
        let expected = |value: String| if injected { vec![value.into_bytes()] } else { Vec::new() };
        assert_eq!(ours, expected(CREDENTIAL.to_owned()), "not exactly our key");
        assert_eq!(bearer, expected(format!("Bearer {CREDENTIAL}")), "not exactly our token");
        assert!(named("cookie").is_empty());
        assert!(!has_credential_parameter(&path), "{:?}", String::from_utf8_lossy(&path));
    }
}

fn has_credential_parameter(path: &[u8]) -> bool {
    let Some(mark) = path.iter().position(|b| *b == b'?') else { return false };
    let mut parameters = path[mark + 1..].split(|b| b"&;".contains(b));
    parameters.any(|parameter| {
        let name = parameter.split(|b| *b == b'=').next().unwrap_or_default();
        percent_decoded(name).eq_ignore_ascii_case(b"key")
    })
}

/// TLS to a host and port that the rule names, and the same one by every name that the connection bears.
fn check_destination(request: &Request<'_>, head: &Head<'_>, host: &str) {
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    assert_eq!(head.scheme, b"https");
    assert_eq!(lower(request.sni), host);
    let with_port = |text: String| if text.contains(':') { text } else { format!("{text}:443") };
    let authority = with_port(lower(head.authority));
    assert!(authority == format!("{host}:443") || authority == format!("{host}:8443"));
    match request.target {
        b"" => assert_eq!(authority, format!("{host}:443")),
        target => assert_eq!(with_port(lower(target)), authority),
    }
    assert!(
        head.protocol.is_none()
            && !["CONNECT", "TRACE"].contains(&lower(head.method).to_uppercase().as_str())
    );
    if host == HOST {
        let path = head.path.split(|b| *b == b'?').next().unwrap_or_default();
        let segment = path.strip_prefix(b"/v1/").expect("the endpoint that the rule lists");
        assert!(!segment.contains(&b'/') && !percent_decoded(segment).contains(&b'/'));
        assert!(segment != b"." && segment != b"..");
    }
}

/// An exact host with endpoints on two ports, and a pattern without either.
fn rules(unlisted: Unlisted) -> RuleSet {
    let texts = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let inject =
        |policy: &str, target| Injection { policy: policy.to_owned(), target, sealed: String::new() };
    let target =
        |name: &str, prefix: &str| Target::Header { name: name.to_owned(), prefix: prefix.to_owned() };
    let rule = |host: &str, ports: &[u16], endpoints| Rule {
        route: "default/route".to_owned(),
        rank: 0,
        hosts: texts(&[host]),
        ports: ports.to_vec(),
        endpoints,
        methods: None,
        models: None,
        carriers: 0,
        then: Outcome::Inject(vec![inject("default/key", 0), inject("default/token", 1)]),
    };
    let mut config = Config {
        version: VERSION,
        gateway: "default/g".to_owned(),
        agent_side: AgentSide::Tls,
        connection_facts: ConnectionFacts::FilterState,
        record: RecordText::Json,
        telemetry: None,
        scrub: Scrub::default(),
        unlisted,
        other_hosts: unlisted,
        endpoints: vec![texts(&["/v1/*"])],
        methods: Vec::new(),
        models: Vec::new(),
        max_held_body: DEFAULT_MAX_HELD_BODY,
        carriers: vec![Carriers {
            headers: texts(&["authorization", "cookie", "x-api-key"]),
            query: texts(&["key"]),
            members: Vec::new(),
        }],
        targets: vec![target("x-api-key", ""), target("authorization", "Bearer ")],
        rules: vec![rule(HOST, &[443, 8443], Some(0)), rule("*.pattern.example", &[443], None)],
    };
    seal(&mut config, |_| Some(CREDENTIAL.as_bytes().to_vec()));
    let bytes = serde_json::to_vec(&config).unwrap_or_default();
    let Ok(rules) = RuleSet::compile(&bytes, &mut Vault::new(Some(keyring()))) else {
        panic!("a sound configuration")
    };
    rules
}

pub(crate) fn keyring() -> Keyring {
    let Ok(keyring) = Keyring::parse(KEYRING) else { panic!("the keyring is well formed") };
    keyring
}

/// Seals a value into each injection for which there is one.
pub(crate) fn seal(config: &mut Config, value: impl Fn(&Injection) -> Option<Vec<u8>>) {
    let (before, keyring) = (config.clone(), keyring());
    for (rule, same) in config.rules.iter_mut().zip(&before.rules) {
        let Outcome::Inject(injections) = &mut rule.then else { continue };
        for injection in injections {
            let (Some(value), Ok(binding)) = (value(injection), before.binding(same, injection)) else {
                continue;
            };
            injection.sealed =
                keyring.seal(&binding, &Secret::new(value)).expect("a small value can be sealed");
        }
    }
}
