//! Where most tests start: the worked example in front of a provider that accepts one key.

use crate::gateway::{Gateway, Manifests};
use crate::provider::Provider;

/// The real key: what the provider accepts and no agent has.
pub const KEY: &str = "sk-ant-real-4Zq0vJ8wT1mC7xYb3NfR";

/// What agents send instead.
pub const PLACEHOLDER: &str = "clrk-injected-by-proxy";

/// The worked example, ready, and its provider.
pub async fn worked_example() -> (Provider, Gateway) {
    adjusted_example(|manifests| manifests).await
}

/// The worked example with a change to its manifests, ready, and its provider.
pub async fn adjusted_example(change: impl FnOnce(Manifests) -> Manifests) -> (Provider, Gateway) {
    let provider = Provider::accepting(KEY).await.expect("a provider");
    let gateway = Gateway::builder(change(Manifests::example(&provider))).key(KEY).start().await;
    (provider, gateway)
}
