//! A sealed value opens for what it was sealed for, unchanged, and for nothing else.
//!
//! Input: a secret and a change, then two rules of eleven lines each (gateway, route, policy, hosts, ports, endpoints,
//! methods, header, prefix, header carriers, query carriers; lists by commas, `*` for no list).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use policy::seal::{Binding, Keyring};
use policy::secret::Secret;
use policy::wire::{
    AgentSide, Carriers, Config, ConnectionFacts, DEFAULT_MAX_HELD_BODY, Injection, Outcome, RecordText,
    Rule, Scrub, Target, Unlisted, VERSION,
};

use crate::input::{Choices, lines};

const KEYRING: &str =
    "new.1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,old://///////////////////////////////////////w8=";

/// Round trip, every change of the sealed text, and every other binding.
pub fn holds(input: &[u8]) {
    let [secret, change, rules] = lines(input);
    let Ok(keyring) = Keyring::parse(KEYRING) else { panic!("the keyring is well formed") };
    let rules = String::from_utf8_lossy(rules);
    let mut fields = rules.split('\n');
    let (one, other) = (Sealed::read(&mut fields), Sealed::read(&mut fields));
    let secret = Secret::new(secret.to_vec());
    let sealed = keyring.seal(&one.binding(), &secret).expect("a small value can be sealed");
    assert_eq!(keyring.seal(&one.binding(), &secret).as_ref(), Ok(&sealed), "equal inputs, other bytes");
    assert!(opens_as(&keyring, &one.binding(), &sealed, &secret));

    assert_eq!(one.binding() == other.binding(), one == other, "a binding is not injective");
    assert_eq!(keyring.open(&other.binding(), &sealed).is_ok(), one == other);
    let kept = Binding::kept(&one.0[0], &one.0[1], &one.0[2]);
    assert!(keyring.open(&kept, &sealed).is_err(), "kept is not configured");

    let changed = changed(&sealed, &mut Choices(change));
    assert_eq!(keyring.open(&one.binding(), &changed).is_ok(), changed == sealed, "it opened though changed");
    // Bytes of the input in the place of a sealed value. libFuzzer sees what is compared and puts real ones there, so
    // what opens has to be what sealing makes of it.
    let encoded = format!("kw1.new.1.{}", BASE64_URL_SAFE_NO_PAD.encode(change));
    for forged in [encoded, String::from_utf8_lossy(change).into_owned()] {
        if let Ok(opened) = keyring.open(&one.binding(), &forged) {
            let genuine = keyring.seal(&one.binding(), &opened).expect("a small value can be sealed");
            assert!(genuine == forged || !forged.starts_with("kw1.new.1."), "forged");
        }
    }
}

fn opens_as(keyring: &Keyring, binding: &Binding, sealed: &str, secret: &Secret) -> bool {
    keyring.open(binding, sealed).is_ok_and(|opened| opened.expose() == secret.expose())
}

/// The sealed text after a few changes; they may cancel each other out.
fn changed(sealed: &str, choices: &mut Choices<'_>) -> String {
    let mut text = sealed.as_bytes().to_vec();
    while !choices.is_over() && !text.is_empty() {
        let (kind, at) = (choices.below(6), choices.next());
        let at = usize::from(at) % text.len();
        match kind {
            0 => text[at] ^= 1 << choices.below(7),
            1 => text.truncate(at),
            2 => text.insert(at, choices.next() & 0x7f),
            3 => drop(text.remove(at)),
            4 => text.swap(0, at),
            _ => text = String::from_utf8_lossy(&text).replacen("new.1", "old", 1).into_bytes(),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The parts of a rule that a seal covers, as eleven texts.
#[derive(PartialEq)]
struct Sealed([String; 11]);

impl Sealed {
    fn read<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Sealed {
        let mut rule = Sealed(std::array::from_fn(|_| fields.next().unwrap_or_default().to_owned()));
        // A port is a number: two spellings of one are the same rule.
        rule.0[4] = rule.ports().iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        rule
    }

    fn list(&self, at: usize) -> Vec<String> {
        self.0[at].split(',').map(str::to_owned).collect()
    }

    fn ports(&self) -> Vec<u16> {
        self.list(4).iter().map(|port| port.parse().unwrap_or(443)).collect()
    }

    fn table(&self, at: usize) -> (Vec<Vec<String>>, Option<u32>) {
        if self.0[at] == "*" { (Vec::new(), None) } else { (vec![self.list(at)], Some(0)) }
    }

    fn target(&self) -> Target {
        let [name, more] = [self.0[7].clone(), self.0[8].clone()];
        match name.split_once(':') {
            Some(("query", name)) => Target::Query { name: name.to_owned() },
            Some(("aws", service)) => {
                let region = (more != "*").then_some(more);
                Target::AwsV4 { region, service: service.to_owned() }
            }
            _ => Target::Header { name, prefix: more },
        }
    }

    fn binding(&self) -> Binding {
        let [gateway, route, policy, ..] = self.0.clone();
        let ((endpoints, endpoint), (methods, method)) = (self.table(5), self.table(6));
        let injection = Injection { policy, target: 0, sealed: String::new() };
        let rule = Rule {
            route,
            rank: 0,
            hosts: self.list(3),
            ports: self.ports(),
            endpoints: endpoint,
            methods: method,
            models: None,
            carriers: 0,
            then: Outcome::Inject(vec![injection.clone()]),
        };
        let config = Config {
            version: VERSION,
            gateway,
            agent_side: AgentSide::Tls,
            connection_facts: ConnectionFacts::FilterState,
            record: RecordText::Json,
            telemetry: None,
            scrub: Scrub::default(),
            unlisted: Unlisted::Pass,
            other_hosts: Unlisted::Pass,
            endpoints,
            methods,
            models: Vec::new(),
            max_held_body: DEFAULT_MAX_HELD_BODY,
            carriers: vec![Carriers { headers: self.list(9), query: self.list(10), members: Vec::new() }],
            targets: vec![self.target()],
            rules: Vec::new(),
        };
        config.binding(&rule, &injection).expect("its tables are there")
    }
}
