//! New values of a Secret: judged before anything changes, and waited for until every Envoy uses them.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::api::{Kind, Manifest};
use policy::secret::Secret;

use super::control::Answer;
use crate::compile::{ValueUse, judge as judge_by};
use crate::conditions::ObjectRef;
use crate::plan::ObjectKey;
use crate::source::{Asked, Objects};

/// Whether these values can be used where policies use them. What a policy would refuse is refused here, so that a
/// slip does not take a working key away. Returns a note where nothing names the Secret.
///
/// # Errors
/// Which key is unusable, and why; never the value.
pub(super) fn judge(
    objects: &Objects,
    asked: &Asked,
    secret: &ObjectKey,
    values: &BTreeMap<String, Secret>,
) -> Result<Option<String>, String> {
    let mut note = None;
    for (policy, key) in asked.by(secret) {
        let object = ObjectRef::new(Kind::CredentialInjectionPolicy, policy.clone());
        let Some(Manifest::CredentialInjectionPolicy(policy)) = objects.get(&object) else { continue };
        let Some(value) = values.get(key) else { continue };
        // Exposed to be judged by the same function that policies judge by.
        let judged = judge_by(&policy.spec, key, value.expose());
        let use_of =
            judged.map_err(|why| format!("key `{key}` of Secret {secret}: {why}; nothing was changed"))?;
        if use_of == ValueUse::TokenSource {
            let text =
                "a token is being obtained with the new key; the condition TokenRenewal of the policy tells";
            note = Some(text.to_owned());
        }
    }
    let unknown = !asked.is_named(secret) && !objects.keys().any(|object| object.key == *secret);
    Ok(note.or_else(|| unknown.then(|| format!("no object names Secret {secret}"))))
}

/// Waits until every Envoy uses what was published, for at most `wait`; not at all without it.
pub(super) async fn wait<F: Future<Output = usize>>(
    settled: Vec<F>,
    wait: Option<Duration>,
    note: Option<String>,
) -> Answer {
    let Some(wait) = wait else { return Answer::Done { proxies: settled.len(), note } };
    let all = async {
        let mut proxies = 0;
        for gateway in settled {
            proxies += gateway.await;
        }
        proxies
    };
    match tokio::time::timeout(wait, all).await {
        Ok(proxies) => Answer::Done { proxies, note },
        Err(_) => Answer::TimedOut {
            message: format!(
                "stored, but not every Envoy has acknowledged it after {} ms; `keyward dev` says which and why",
                wait.as_millis()
            ),
        },
    }
}
