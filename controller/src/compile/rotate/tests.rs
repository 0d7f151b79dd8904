//! A rotation is a compilation that is spared: its outcome is the same, or it says that it does not apply.

use zeroize::Zeroizing;

use super::*;
use crate::compile::compile;
use crate::source::{Asked, LastGood, Listing, Objects, Overrides, load};

const OBJECTS: &str = "\
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: g}
spec:
  listeners: [{name: egress, protocol: TLS, tls: {mode: Terminate}}]
  upstreamTLS: {additionalTrustBundleSecretRef: {name: ca}}
---
apiVersion: v1
kind: Secret
metadata: {name: ca}
---
apiVersion: v1
kind: Secret
metadata: {name: unused}
stringData: {token: whatever-it-is}
";

/// A route with a policy; several may name one Secret.
fn route(name: &str, secret: &str) -> String {
    format!(
        "---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: g}}]
  rules: [{{matches: [{{provider: custom, hosts: [{name}.example.com, \"*.{name}.example.com\"]}}]}}]
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: clrk.apoxy.dev, kind: AIProviderRoute, name: {name}}}]
  secretRef: {{name: {secret}}}
  target: Header
  headerName: x-api-key
"
    )
}

fn keyring() -> Keyring {
    Keyring::parse("k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

fn inputs(one: &str, two: &str) -> Inputs {
    Inputs::from_objects(&objects(one, two))
}

fn objects(one: &str, two: &str) -> Objects {
    let secret = |name: &str, value: &str| {
        format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{value}}}\n")
    };
    let text = [
        OBJECTS.to_owned(),
        secret("one", one),
        secret("two", two),
        route("a", "one"),
        route("b", "two"),
        route("c", "one"),
    ];
    let listing = Listing::from([("a.yaml".to_owned(), Ok(Zeroizing::new(text.concat().into_bytes())))]);
    load(&listing, &mut LastGood::default(), &Overrides::default()).objects
}

fn plans(inputs: &Inputs) -> BTreeMap<ObjectKey, GatewayPlan> {
    let keyring = keyring();
    compile(inputs, |_| &keyring, "").gateways
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".into(), name: name.into() }
}

fn policies(one: &str, secret: &str) -> Vec<ObjectKey> {
    let asked = Asked::of(&objects(one, "token: value-of-two"));
    asked.policies(&key(secret)).cloned().collect()
}

/// Rotates `one` from the one value to the other, and compares with compilations; what was touched.
fn check(before: &str, after: &str, secret: &str) -> Option<Touched> {
    let (mut inputs, wanted) = (inputs(before, "token: value-of-two"), inputs(after, "token: value-of-two"));
    let (untouched, mut plans, keyring) = (inputs.clone(), plans(&inputs), keyring());
    let values = wanted.secrets[&key(secret)].clone();
    let policies = policies(before, secret);
    let touched = rotate(&mut inputs, &mut plans, &key(secret), &policies, values, |_| &keyring);
    let expected = if touched.is_some() { &wanted } else { &untouched };
    assert!(inputs == *expected, "the inputs, from {before} to {after}");
    assert!(plans == self::plans(expected), "the plans, from {before} to {after}");
    touched
}

#[test]
fn a_rotated_secret_gives_what_a_compilation_gives() {
    let touched = check("token: first-value", "token: second-value", "one").expect("it applies");
    assert_eq!(touched.keys().collect::<Vec<_>>(), [&key("g")]);
    assert_eq!(touched[&key("g")].len(), 1, "hosts that share a Secret share a bucket");
}

#[test]
fn a_secret_that_no_policy_names_touches_nothing() {
    assert_eq!(check("token: first-value", "token: first-value", "unused"), Some(Touched::new()));
}

#[test]
fn what_changes_more_than_sealed_values_is_left_to_a_compilation() {
    for (before, after, secret) in [
        ("token: first-value", "token: short", "one"),
        ("token: first-value", "other: second-value", "one"),
        ("token: short", "token: second-value", "one"),
        ("token: first-value", "token: first-value", "ca"),
    ] {
        assert_eq!(check(before, after, secret), None, "from {before} to {after}");
    }
}

#[test]
fn a_secret_that_is_new_is_left_to_a_compilation() {
    let (mut inputs, keyring) = (inputs("token: first-value", "token: value-of-two"), keyring());
    let mut plans = plans(&inputs);
    let values = inputs.secrets[&key("one")].clone();
    assert_eq!(rotate(&mut inputs, &mut plans, &key("new"), &[], values, |_| &keyring), None);
}

mod google {
    //! Tokens that are renewed, the same way.

    use std::time::Duration;

    use policy::secret::Secret;
    use time::OffsetDateTime;

    use super::*;
    use crate::compile::Compiled;
    use crate::conditions::ObjectRef;
    use crate::google::{ExchangeError, Token, TokenState};
    use policy::api::Kind;

    const EPOCH: i64 = 1_800_000_000;

    /// A service account's JSON, its private key that of the unit tests.
    fn account() -> String {
        let key = include_str!("../../google/testdata/one.key.txt");
        let body: String =
            key.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let label = ["PRIVATE", "KEY"].join(" ");
        serde_json::json!({
            "type": "service_account",
            "client_email": "robot@project.iam.gserviceaccount.com",
            "private_key_id": "one",
            "private_key": format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n"),
        })
        .to_string()
    }

    /// Two routes whose tokens are one, one whose hosts have one each, and one of another kind.
    fn inputs() -> Inputs {
        let of_google = |name: &str, gcp: &str| {
            route(name, "gcp").replace(
                "target: Header\n  headerName: x-api-key",
                &format!("target: ProviderAuth\n  providerAuth: {{type: GCPServiceAccount, gcp: {gcp}}}"),
            )
        };
        let hosts = of_google("c", "{mode: SelfSignedJwt}").replace("\"*.c.example.com\"", "d.example.com");
        let secrets = format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: gcp}}\nstringData: {{token: '{}'}}\n\
             ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: one}}\nstringData: {{token: value-of-one}}\n",
            account().replace('\'', "''"),
        );
        let text =
            [OBJECTS, &secrets, &of_google("a", "{}"), &of_google("b", "{}"), &hosts, &route("e", "one")];
        let listing = Listing::from([("a.yaml".to_owned(), Ok(Zeroizing::new(text.concat().into_bytes())))]);
        let loaded = load(&listing, &mut LastGood::default(), &Overrides::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        Inputs::from_objects(&loaded.objects)
    }

    fn compiled(inputs: &Inputs) -> Compiled {
        let keyring = keyring();
        compile(inputs, |_| &keyring, "")
    }

    /// A token of some name for everything that is wanted, changed by a test.
    fn tokens(inputs: &Inputs, change: impl Fn(&str, &mut TokenState)) -> Arc<Snapshot> {
        let wanted = compiled(inputs).tokens.wanted;
        let state = |key: &TokenKey| {
            let purpose = key.grant.audience().unwrap_or("everything").to_owned();
            let mut state = token(&format!("first-{purpose}"));
            change(&purpose, &mut state);
            (key.clone(), Arc::new(state))
        };
        Arc::new(wanted.keys().map(state).collect())
    }

    fn token(text: &str) -> TokenState {
        let obtained = OffsetDateTime::from_unix_timestamp(EPOCH).unwrap();
        let value = Arc::new(Secret::credential(text.as_bytes()).unwrap());
        let expires_at = obtained + Duration::from_secs(3600);
        let mut state = TokenState::default();
        state.token = Some(Token { value, expires_at });
        state.minted_at = Some(obtained);
        state
    }

    /// From tokens for everything to changed ones, compared with a compilation; what was touched.
    fn check(change: impl Fn(&str, &mut TokenState)) -> Option<Touched> {
        let (mut inputs, keyring) = (inputs(), keyring());
        inputs.tokens = tokens(&inputs, |_, _| {});
        let (before, untouched) = (compiled(&inputs), inputs.clone());
        let (mut plans, mut statuses) = (before.gateways, before.statuses);
        let after = tokens(&inputs, change);
        let wanted = Inputs { tokens: Arc::clone(&after), ..inputs.clone() };
        let touched = renew(&mut inputs, &mut plans, &before.tokens.of_policies, &after, |_| &keyring);
        let expected = if touched.is_some() { &wanted } else { &untouched };
        assert!(inputs == *expected, "the inputs");
        assert!(plans == compiled(expected).gateways, "the plans");
        if touched.is_some() {
            before.tokens.say(&mut statuses, &after);
            assert_eq!(statuses, compiled(&wanted).statuses);
        }
        touched
    }

    #[test]
    fn equal_grants_of_one_secret_are_one_token_and_hosts_have_tokens_of_their_own() {
        let wanted = compiled(&inputs()).tokens.wanted;
        let audiences: Vec<_> = wanted.keys().map(|key| key.grant.audience()).collect();
        assert_eq!(audiences, [None, Some("https://c.example.com/"), Some("https://d.example.com/")]);
    }

    #[test]
    fn a_renewed_token_gives_what_a_compilation_gives_and_touches_one_bucket() {
        let touched = check(|purpose, state| {
            if purpose == "everything" {
                *state = token("second-everything");
            }
        });
        assert_eq!(touched.expect("it applies")[&key("g")].len(), 1);
    }

    #[test]
    fn the_token_of_one_host_is_renewed_alone() {
        let touched = check(|purpose, state| {
            if purpose == "https://d.example.com/" {
                *state = token("second-for-d");
            }
        });
        assert_eq!(touched.expect("it applies")[&key("g")].len(), 1);
    }

    #[test]
    fn a_renewal_that_fails_changes_conditions_alone() {
        let touched = check(|_, state| {
            state.failures = 3;
            state.last_error = Some(ExchangeError::Timeout);
        });
        assert_eq!(touched, Some(Touched::new()));
    }

    #[test]
    fn a_token_that_comes_or_goes_is_left_to_a_compilation() {
        assert_eq!(
            check(|purpose, state| state.token = state.token.take().filter(|_| purpose != "everything")),
            None
        );
        let (mut inputs, keyring) = (inputs(), keyring());
        let Compiled { mut gateways, tokens: needed, .. } = compiled(&inputs);
        let after = tokens(&inputs, |_, _| {});
        assert_eq!(renew(&mut inputs, &mut gateways, &needed.of_policies, &after, |_| &keyring), None);
    }

    #[test]
    fn another_key_file_is_left_to_a_compilation() {
        let (mut inputs, keyring) = (inputs(), keyring());
        inputs.tokens = tokens(&inputs, |_, _| {});
        let mut plans = compiled(&inputs).gateways;
        let values = inputs.secrets[&key("gcp")].clone();
        let policies = ["a", "b", "c"].map(key);
        assert_eq!(rotate(&mut inputs, &mut plans, &key("gcp"), &policies, values, |_| &keyring), None);
    }

    #[test]
    fn a_gateways_own_roots_stand_beside_the_systems_for_the_endpoint_and_the_account_shows_nowhere() {
        let mut inputs = inputs();
        let root = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem();
        let bundle = policy::api::SecretValue::from_bytes(root.into_bytes());
        inputs.secrets.insert(key("ca"), [("ca.crt".to_owned(), bundle)].into());
        let compiled = compiled(&inputs);
        for origin in compiled.tokens.wanted.values() {
            assert_eq!(origin.roots.len(), 1);
            assert!(origin.roots.first().unwrap().contains("BEGIN CERTIFICATE"));
        }
        let (shown, account) = (format!("{compiled:?}"), account());
        let line = account.split("\\n").nth(3).unwrap();
        assert!(line.len() > 60 && !shown.contains(line));
        let object = ObjectRef::new(Kind::CredentialInjectionPolicy, key("a"));
        assert!(compiled.statuses.0.contains_key(&object));
    }
}
