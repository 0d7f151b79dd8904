//! New values of a Secret: judged before anything changes, and waited for until every Envoy uses them.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::secret::Secret;

use super::control::Answer;
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
    let asked = asked.keys(secret);
    for (key, value) in values.iter().filter(|(key, _)| asked.contains(key.as_str())) {
        // Exposed to be judged by the same function that policies judge by.
        Secret::credential(value.expose())
            .map_err(|error| format!("key `{key}` of Secret {secret}: {error}; nothing was changed"))?;
    }
    let unknown = asked.is_empty() && !objects.keys().any(|object| object.key == *secret);
    Ok(unknown.then(|| format!("no object names Secret {secret}")))
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
