//! What holds of every request.

use super::*;
use crate::rules::fixture::verdict as verdict_of;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[xX][-_][aA]pi[-_]key",
        "[aA]uthorization",
        "cookie",
        "accept",
        "x-envoy-[a-z]{0,3}",
        "[a-zA-Z_-]{1,12}",
    ]
}

proptest! {
    #[test]
    fn a_forwarded_request_carries_no_credential_but_ours(
        headers in prop::collection::vec((name(), "[ -~]{0,12}"), 0..8), listed in any::<bool>(),
    ) {
        let rules = rules_of(config());
        let path: &[u8] = if listed { b"/v1/messages" } else { b"/v1/files" };
        let pseudo: [(&[u8], &[u8]); 4] =
            [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", HOST.as_bytes()), (b":path", path)];
        let sent = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let head = Head::from_map(pseudo.into_iter().chain(sent));
        let Ok(plan) = verdict_of(&rules, &Facts::parse(b"api.anthropic.com|"), &head) else {
            return Err(TestCaseError::fail("denied"));
        };
        let mut left: Vec<_> = headers.clone();
        let mut ours = 0;
        for edit in plan.edits {
            match edit {
                Edit::RemoveHeader(name) => left.retain(|(other, _)| *other != name),
                Edit::SetHeader { name, .. } => {
                    left.retain(|(other, _)| *other != name);
                    ours += 1;
                }
                Edit::SetPath(_) => {}
            }
        }
        prop_assert_eq!(ours, usize::from(listed));
        for (name, _) in left {
            let folded = name.to_ascii_lowercase().replace('_', "-");
            prop_assert!(!["x-api-key", "authorization", "cookie"].contains(&folded.as_str()), "{}", name);
            prop_assert!(!folded.starts_with("x-envoy-"), "{}", name);
        }
    }

    #[test]
    fn no_bytes_panic(
        connection in prop::collection::vec(any::<u8>(), 0..40), authority in prop::collection::vec(any::<u8>(), 0..40),
        path in prop::collection::vec(any::<u8>(), 0..40), name in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let map: [(&[u8], &[u8]); 5] =
            [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", &authority), (b":path", &path), (&name, &path)];
        let _ = rules_of(config()).decide(&Facts::parse(&connection), &Head::from_map(map), Body::Unread);
    }
}
