//! Rotations: one value opened, the old one scrubbed for ten minutes, nothing kept after that.

use super::*;
use crate::decide::{Facts, Head};
use crate::rules::RuleSet;
use crate::rules::fixture::{KEY, bytes, compile, config, rule, sealed, sealed_where};
use crate::wire::Config;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const MINUTE: Duration = Duration::from_secs(60);
const NEW: &str = "sk-ant-rotated-987";

fn credentials(rules: &RuleSet) -> Vec<Rc<Credential>> {
    let head = Head {
        method: b"POST",
        scheme: b"https",
        authority: b"api.anthropic.com",
        path: b"/v1/messages",
        ..Head::default()
    };
    match rules.decide(&Facts::parse(b"api.anthropic.com|-"), &head) {
        Ok(plan) => plan.credentials,
        Err(denial) => panic!("{denial:?}"),
    }
}

fn is_scrubbed(vault: &Vault, rules: &RuleSet, value: &str) -> bool {
    vault.scrubber(&credentials(rules)).scrub(value.as_bytes()).is_some()
}

#[test]
fn an_old_value_is_scrubbed_for_ten_minutes_after_its_last_use() {
    let mut vault = Vault::default();
    let old = compile(&sealed(config(), KEY), &mut vault);
    vault.sweep(MINUTE);
    let new = compile(&sealed(config(), NEW), &mut vault);
    vault.sweep(2 * MINUTE);
    assert!(is_scrubbed(&vault, &new, KEY), "while the old rules still serve a request");
    vault.sweep(60 * MINUTE);
    assert!(is_scrubbed(&vault, &old, KEY) && vault.len() == 2, "however long that takes");

    drop(old);
    vault.sweep(61 * MINUTE);
    assert!(is_scrubbed(&vault, &new, KEY));
    vault.sweep(71 * MINUTE - Duration::from_nanos(1));
    assert!(is_scrubbed(&vault, &new, KEY));
    vault.sweep(71 * MINUTE);
    assert!(!is_scrubbed(&vault, &new, KEY));
    assert!(is_scrubbed(&vault, &new, NEW));
    assert_eq!(vault.len(), 1);
}

#[test]
fn a_rotation_opens_one_value() {
    let mut two = config();
    two.rules.push(rule("default/other", &["api.example.com"]));
    let mut vault = Vault::default();
    let _old = compile(&sealed(two.clone(), KEY), &mut vault);
    let rotated = sealed_where(sealed(two, KEY), NEW, |policy| policy == "default/other");
    // Without a keyring nothing opens: what is served comes out of the vault.
    let new = RuleSet::compile(&bytes(&rotated), None, &mut vault).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(credentials(&new).len(), 1);
    let other = Head {
        method: b"POST",
        scheme: b"https",
        authority: b"api.example.com",
        path: b"/v1/messages",
        ..Head::default()
    };
    assert!(new.decide(&Facts::parse(b"api.example.com|-"), &other).is_err());
}

#[test]
fn the_policies_of_some_rules_can_be_swept_alone() {
    let mut vault = Vault::default();
    let other = Config { rules: vec![rule("default/other", &["api.example.com"])], ..config() };
    let old = [compile(&sealed(config(), KEY), &mut vault), compile(&sealed(other.clone(), KEY), &mut vault)];
    let new = [compile(&sealed(config(), NEW), &mut vault), compile(&sealed(other, NEW), &mut vault)];
    drop(old);
    assert_eq!(vault.len(), 4);
    vault.sweep_policies_of(&new[0], MINUTE);
    vault.sweep_policies_of(&new[0], MINUTE + RETIRED_FOR);
    assert_eq!(vault.len(), 3, "the other policy's old value is not looked for");
    vault.sweep(MINUTE + RETIRED_FOR);
    vault.sweep(MINUTE + 2 * RETIRED_FOR);
    assert_eq!(vault.len(), 2);
}

#[test]
fn a_compilation_that_is_thrown_away_leaves_nothing_behind() {
    let mut vault = Vault::default();
    let serving = compile(&sealed(config(), KEY), &mut vault);
    drop(compile(&sealed(config(), NEW), &mut vault));
    vault.sweep(MINUTE);
    assert_eq!(credentials(&serving)[0].value.expose(), KEY.as_bytes());
    vault.sweep(MINUTE + RETIRED_FOR);
    assert_eq!(vault.len(), 1);
    assert!(is_scrubbed(&vault, &serving, KEY));
    drop(serving);
    vault.sweep(100 * MINUTE);
    vault.sweep(110 * MINUTE);
    assert!(vault.is_empty());
}

#[test]
fn a_value_that_comes_back_is_current_again() {
    let mut vault = Vault::default();
    drop(compile(&sealed(config(), KEY), &mut vault));
    vault.sweep(MINUTE);
    let again = compile(&sealed(config(), KEY), &mut vault);
    vault.sweep(100 * MINUTE);
    assert!(is_scrubbed(&vault, &again, KEY));
}

#[test]
fn rules_with_one_value_share_its_forms() {
    let mut two = config();
    two.rules.push(rule("default/anthropic", &["api.example.com"]));
    let mut vault = Vault::default();
    let _rules = compile(&sealed(two, KEY), &mut vault);
    assert_eq!(vault.len(), 1);
}

#[test]
fn ten_thousand_rotations_keep_a_bounded_number_of_values() {
    let mut vault = Vault::default();
    let mut serving = compile(&sealed(config(), KEY), &mut vault);
    for round in 0..10_000_u32 {
        let next = compile(&sealed(config(), &format!("sk-ant-{round:08}")), &mut vault);
        serving = next;
        vault.sweep(Duration::from_millis(u64::from(round) * 300));
        assert!(vault.len() <= 1 + RETIRED_AT_MOST, "{round}");
    }
    assert!(is_scrubbed(&vault, &serving, "sk-ant-00009998"));
    let opened: usize = vault.policies.values().map(|held| held.opened.len()).sum();
    assert_eq!(opened, 1);
}

#[test]
fn of_more_than_sixteen_retired_values_the_oldest_go_early() {
    let value = |round: usize| format!("sk-ant-{round:08}");
    let mut vault = Vault::default();
    let mut serving = compile(&sealed(config(), &value(0)), &mut vault);
    for round in 1..=18 {
        serving = compile(&sealed(config(), &value(round)), &mut vault);
        vault.sweep(MINUTE);
    }
    for round in 0..=18 {
        assert_eq!(is_scrubbed(&vault, &serving, &value(round)), round >= 2, "{round}");
    }
    assert_eq!(vault.len(), 1 + 16);
    let opened = vault.policies.values().flat_map(|held| held.opened.values());
    let used: Vec<bool> = opened.map(|credential| credential.strong_count() > 0).collect();
    assert_eq!(used, [true], "what rules use is kept open, and nothing else");
}

#[test]
fn a_credential_tells_its_policy_and_its_header() {
    let rules = compile(&sealed(config(), KEY), &mut Vault::default());
    let credential = &credentials(&rules)[0];
    assert_eq!((credential.id(), credential.header()), ("default/anthropic", "x-api-key"));
}

#[test]
fn a_value_that_is_no_credential_does_not_open() {
    for value in ["short", "sk-ant\r\n0123", "clrk-injected-by-proxy"] {
        let rules = compile(&sealed(config(), value), &mut Vault::default());
        let head = Head {
            method: b"POST",
            scheme: b"https",
            authority: b"api.anthropic.com",
            path: b"/v1/messages",
            ..Head::default()
        };
        let denial = rules.decide(&Facts::parse(b"api.anthropic.com|-"), &head).err().unwrap();
        assert_eq!(denial.reason.as_str(), "credential_unsealable", "{value}");
    }
}
