//! Rotations: one value opened, the old one scrubbed for ten minutes, nothing kept after that, whether a request came
//! before the rotation or not.

use super::*;
use crate::decide::{Facts, Head};
use crate::rules::Material;
use crate::rules::RuleSet;
use crate::rules::fixture::{KEY, compile, config, rule, sealed, sealed_where, vault, verdict};
use crate::wire::Config;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_secs(60);
const NEW: &str = "sk-ant-rotated-987";

fn is_key(material: &Material) -> bool {
    matches!(material, Material::Value { whole, .. } if whole.expose() == KEY.as_bytes())
}

fn credentials(rules: &RuleSet) -> Vec<Rc<Credential>> {
    let head = Head {
        method: b"POST",
        scheme: b"https",
        authority: b"api.anthropic.com",
        path: b"/v1/messages",
        ..Head::default()
    };
    match verdict(rules, &Facts::parse(b"api.anthropic.com|-"), &head) {
        Ok(plan) => plan.credentials,
        Err(denial) => panic!("{denial:?}"),
    }
}

/// As a request does that the rules serve.
fn is_scrubbed(vault: &mut Vault, rules: &RuleSet, value: &str) -> bool {
    vault.scrubber(&credentials(rules)).scrub(value.as_bytes()).is_some()
}

/// How many distinct values are open, retired ones included.
fn values(vault: &Vault) -> usize {
    vault.policies.values().map(|held| held.values.len()).sum()
}

/// How many credentials are held, open or not.
fn held(vault: &Vault) -> usize {
    vault.policies.values().map(|held| held.credentials.len()).sum()
}

#[test]
fn an_old_value_is_scrubbed_for_ten_minutes_after_its_last_use() {
    let mut vault = vault();
    let old = compile(&sealed(config(), KEY), &mut vault);
    vault.sweep(MINUTE);
    let new = compile(&sealed(config(), NEW), &mut vault);
    vault.sweep(2 * MINUTE);
    assert!(is_scrubbed(&mut vault, &new, KEY), "while the old rules still serve a request");
    vault.sweep(60 * MINUTE);
    assert!(is_scrubbed(&mut vault, &old, KEY) && values(&vault) == 2, "however long that takes");

    drop(old);
    vault.sweep(61 * MINUTE);
    assert!(is_scrubbed(&mut vault, &new, KEY));
    vault.sweep(71 * MINUTE - Duration::from_nanos(1));
    assert!(is_scrubbed(&mut vault, &new, KEY));
    vault.sweep(71 * MINUTE);
    assert!(!is_scrubbed(&mut vault, &new, KEY));
    assert!(is_scrubbed(&mut vault, &new, NEW));
    assert_eq!(values(&vault), 1);
}

#[test]
fn an_old_value_that_no_request_needed_is_scrubbed_as_long() {
    let check = |last_sweep: Duration, scrubbed: bool| {
        let mut vault = vault();
        drop(compile(&sealed(config(), KEY), &mut vault));
        let new = compile(&sealed(config(), NEW), &mut vault);
        vault.sweep(MINUTE);
        vault.sweep(last_sweep);
        assert_eq!(values(&vault), 0, "nothing is opened before it is needed");
        assert_eq!(is_scrubbed(&mut vault, &new, KEY), scrubbed, "{last_sweep:?}");
        assert!(is_scrubbed(&mut vault, &new, NEW));
        // Once it is open it ends when it would have ended else.
        vault.sweep(11 * MINUTE);
        assert!(!is_scrubbed(&mut vault, &new, KEY));
        assert_eq!((values(&vault), held(&vault)), (1, 1));
    };
    check(11 * MINUTE - Duration::from_nanos(1), true);
    check(11 * MINUTE, false);
}

#[test]
fn a_policy_in_use_has_every_value_open_at_once() {
    let mut two = config();
    two.rules.push(rule("default/anthropic", &["api.example.com"]));
    let mut vault = vault();
    let mixed = sealed(two, KEY);
    let mixed = Config { rules: vec![mixed.rules[0].clone(), other_value(&mixed, NEW)], ..mixed };
    let rules = compile(&mixed, &mut vault);
    assert!(is_scrubbed(&mut vault, &rules, NEW), "what the policy sets elsewhere");
    let third = "sk-ant-third-value";
    let _rotated = compile(&Config { rules: vec![other_value(&mixed, third)], ..mixed }, &mut vault);
    assert_eq!(values(&vault), 3, "a value that comes later needs no request");
    assert!(is_scrubbed(&mut vault, &rules, third));
}

/// The second rule, with a value of its own.
fn other_value(config: &Config, value: &str) -> crate::wire::Rule {
    sealed(config.clone(), value).rules.remove(1)
}

#[test]
fn a_rotation_brings_one_credential_and_opens_none() {
    let mut two = config();
    two.rules.push(rule("default/other", &["api.example.com"]));
    let mut vault = vault();
    let old = compile(&sealed(two.clone(), KEY), &mut vault);
    let rotated = sealed_where(sealed(two, KEY), NEW, |policy| policy == "default/other");
    let before = Rc::clone(&credentials(&old)[0]);
    let new = compile(&rotated, &mut vault);
    // The seals differ even of equal values, so the same credential is one that was found.
    assert!(Rc::ptr_eq(&before, &credentials(&new)[0]));
    assert_eq!((held(&vault), values(&vault)), (3, 0));
}

#[test]
fn the_policies_of_some_rules_can_be_swept_alone() {
    let mut vault = vault();
    let other = Config { rules: vec![rule("default/other", &["api.example.com"])], ..config() };
    let old = [compile(&sealed(config(), KEY), &mut vault), compile(&sealed(other.clone(), KEY), &mut vault)];
    let new = [compile(&sealed(config(), NEW), &mut vault), compile(&sealed(other, NEW), &mut vault)];
    drop(old);
    assert_eq!(held(&vault), 4);
    vault.sweep_policies_of(&new[0], MINUTE);
    vault.sweep_policies_of(&new[0], MINUTE + RETIRED_FOR);
    assert_eq!(held(&vault), 3, "the other policy's old value is not looked for");
    vault.sweep(MINUTE + RETIRED_FOR);
    vault.sweep(MINUTE + 2 * RETIRED_FOR);
    assert_eq!(held(&vault), 2);
}

#[test]
fn a_compilation_that_is_thrown_away_leaves_nothing_behind() {
    for in_use in [false, true] {
        let mut vault = vault();
        let serving = compile(&sealed(config(), KEY), &mut vault);
        assert!(!in_use || is_scrubbed(&mut vault, &serving, KEY));
        drop(compile(&sealed(config(), NEW), &mut vault));
        vault.sweep(MINUTE);
        assert!(credentials(&serving)[0].material().is_some_and(is_key));
        vault.sweep(MINUTE + RETIRED_FOR);
        assert_eq!((held(&vault), values(&vault)), (1, usize::from(in_use)));
        assert!(is_scrubbed(&mut vault, &serving, KEY));
        drop(serving);
        vault.sweep(100 * MINUTE);
        vault.sweep(110 * MINUTE);
        assert!(vault.is_empty());
    }
}

#[test]
fn a_value_that_comes_back_is_current_again() {
    for in_use in [false, true] {
        let mut vault = vault();
        let first = compile(&sealed(config(), KEY), &mut vault);
        assert!(!in_use || is_scrubbed(&mut vault, &first, KEY));
        drop(first);
        vault.sweep(MINUTE);
        let again = compile(&sealed(config(), KEY), &mut vault);
        vault.sweep(100 * MINUTE);
        assert!(is_scrubbed(&mut vault, &again, KEY));
        assert_eq!(values(&vault), 1);
    }
}

#[test]
fn rules_with_one_value_share_its_forms() {
    let mut two = config();
    two.rules.push(rule("default/anthropic", &["api.example.com"]));
    let mut vault = vault();
    let rules = compile(&sealed(two, KEY), &mut vault);
    assert!(is_scrubbed(&mut vault, &rules, KEY));
    assert_eq!((held(&vault), values(&vault)), (2, 1));
}

#[test]
fn ten_thousand_rotations_keep_a_bounded_number_of_values() {
    for in_use in [false, true] {
        let mut vault = vault();
        let mut serving = compile(&sealed(config(), KEY), &mut vault);
        assert!(!in_use || is_scrubbed(&mut vault, &serving, KEY));
        for round in 0..10_000_u32 {
            serving = compile(&sealed(config(), &format!("sk-ant-{round:08}")), &mut vault);
            vault.sweep(Duration::from_millis(u64::from(round) * 300));
            let (most_held, most_open) =
                if in_use { (1, 1 + RETIRED_AT_MOST) } else { (1 + RETIRED_AT_MOST, 0) };
            assert!(held(&vault) <= most_held && values(&vault) <= most_open, "{in_use} {round}");
        }
        assert!(is_scrubbed(&mut vault, &serving, "sk-ant-00009998"));
    }
}

#[test]
fn of_more_than_sixteen_retired_values_the_oldest_go_early() {
    let value = |round: usize| format!("sk-ant-{round:08}");
    for in_use in [false, true] {
        let mut vault = vault();
        let mut serving = compile(&sealed(config(), &value(0)), &mut vault);
        assert!(!in_use || is_scrubbed(&mut vault, &serving, &value(0)));
        for round in 1..=18 {
            serving = compile(&sealed(config(), &value(round)), &mut vault);
            vault.sweep(MINUTE);
        }
        for round in 0..=18 {
            assert_eq!(is_scrubbed(&mut vault, &serving, &value(round)), round >= 2, "{in_use} {round}");
        }
        assert_eq!((held(&vault), values(&vault)), (1, 1 + 16), "{in_use}");
        vault.sweep(MINUTE + RETIRED_FOR);
        assert_eq!((held(&vault), values(&vault)), (1, 1), "{in_use}");
    }
}

#[test]
fn each_credential_that_is_used_may_have_sixteen_before_it() {
    let hosts = ["a.example", "b.example", "c.example"];
    let many = Config { rules: hosts.map(|host| rule("default/anthropic", &[host])).into(), ..config() };
    let mut vault = vault();
    let mut serving = compile(&sealed(many.clone(), "sk-ant-00000000"), &mut vault);
    for round in 1..=20 {
        let next = compile(&sealed(many.clone(), &format!("sk-ant-{round:08}")), &mut vault);
        serving = next;
        vault.sweep(MINUTE);
    }
    assert_eq!(held(&vault), 3 * (1 + 16));
    drop(serving);
    vault.sweep(MINUTE);
    assert_eq!(held(&vault), 16, "and when none is used, sixteen in all");
}

#[test]
fn a_credential_tells_its_policy_and_its_header() {
    let rules = compile(&sealed(config(), KEY), &mut vault());
    let credential = &credentials(&rules)[0];
    assert_eq!((credential.id(), credential.target().header()), ("default/anthropic", Some("x-api-key")));
}

#[test]
fn a_value_that_is_no_credential_does_not_open() {
    for value in ["short", "sk-ant\r\n0123", "clrk-injected-by-proxy"] {
        let rules = compile(&sealed(config(), value), &mut vault());
        let head = Head {
            method: b"POST",
            scheme: b"https",
            authority: b"api.anthropic.com",
            path: b"/v1/messages",
            ..Head::default()
        };
        let denial = verdict(&rules, &Facts::parse(b"api.anthropic.com|-"), &head).err().unwrap();
        assert_eq!(denial.reason.as_str(), "credential_unsealable", "{value}");
    }
}
