//! The filter's own decoder on the exact bytes that it will be sent.

use policy::rules::{RuleSet, Vault};
use policy::wire::{Config, Unlisted};

use crate::parallel;
use crate::plan::GatewayPlan;

/// Replaces every configuration that the filter would refuse by one that denies, and names its buckets. It takes a
/// fault of ours to get here.
pub(super) fn deny_what_the_filter_refuses(plan: &mut GatewayPlan) -> Vec<String> {
    let taken = parallel::map(&plan.buckets, is_taken);
    let mut refused = Vec::new();
    for (index, (bucket, taken)) in plan.buckets.iter_mut().zip(taken).enumerate() {
        if !taken {
            refused.push(index.to_string());
            *bucket = Config { other_hosts: Unlisted::Deny, telemetry: None, ..plan.guard.clone() };
        }
    }
    refused
}

/// Whether the filter takes this configuration.
fn is_taken(config: &Config) -> bool {
    let Ok(bytes) = serde_json::to_vec(config) else { return false };
    RuleSet::compile(&bytes, &mut Vault::default()).is_ok()
}
