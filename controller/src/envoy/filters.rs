//! The filter module's configurations, one ECDS resource each: the guard and every bucket.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::GenericSecret;
use envoy_types::pb::envoy::extensions::wasm::v3 as wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use policy::wire;

use super::any::{boolean, merged, pack};
use super::{GenerateError, Placement, names};
use crate::plan::{GatewayPlan, LIGHT_BUCKETS};

/// The environment variable with the sealing keys. Only its name stands in the configuration.
pub const KEYRING_VARIABLE: &str = "KEYWARD_KEYRING";

/// The *light* capability class: what the module may import from the host, and which of its exports the host calls.
/// Bodies are not among them, so a light filter never sees one. A call to an import that is missing here
/// traps. `proxy_on_delete` frees a stream; `fd_write` and `proc_exit` are how the module's runtime aborts.
const LIGHT: [&str; 28] = [
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "proxy_add_header_map_value",
    "proxy_close_stream",
    "proxy_define_metric",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_log",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_property",
    "proxy_set_tick_period_milliseconds",
];

/// What the *full* class has besides: bodies of requests (the host then calls for every piece of every body, also of
/// requests that do not wait for theirs), how long a signature took, and the seed of the hash tables in the library that
/// signs.
const FULL: [&str; 3] = ["proxy_on_request_body", "proxy_record_metric", "random_get"];

/// What a filter needs besides that reads what requests cost: bodies of both sides.
const READING: [&str; 2] = ["proxy_on_request_body", "proxy_on_response_body"];

/// What it needs besides those to tell a collector: calls of its own, and their answers, for which the SDK says whose
/// they are; ids that nobody guesses.
const TELLING: [&str; 4] =
    ["proxy_http_call", "proxy_on_http_call_response", "proxy_set_effective_context", "random_get"];

/// What it needs to clean bodies of answers.
const SCRUBBING: [&str; 2] = ["proxy_on_response_body", "proxy_set_buffer_bytes"];

/// Every filter configuration with its name, in the order of their names.
pub(super) fn filters(
    plan: &GatewayPlan,
    placement: &Placement,
) -> Result<Vec<(String, Any)>, GenerateError> {
    let buckets = (0..plan.buckets.len()).map(|index| of_bucket(plan, index, placement));
    let mut all = buckets.collect::<Result<Vec<_>, GenerateError>>()?;
    all.push(named(names::GUARD.to_owned(), &plan.guard, Kind::Light, placement)?);
    Ok(all)
}

/// The filter configuration of a bucket, with its name.
pub(super) fn of_bucket(
    plan: &GatewayPlan,
    bucket: usize,
    placement: &Placement,
) -> Result<(String, Any), GenerateError> {
    let config = plan.buckets.get(bucket).ok_or(GenerateError::NoSuchBucket)?;
    // Without rules there is nothing to wait for, and no VM of another class to be made for it.
    let full = bucket >= LIGHT_BUCKETS && !config.rules.is_empty();
    named(names::bucket(bucket), config, if full { Kind::Full } else { Kind::Light }, placement)
}

/// What the module may do.
#[derive(Clone, Copy)]
struct Class {
    kind: Kind,
    telemetry: Telemetry,
    /// Whether it cleans bodies of answers.
    scrubs: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Light,
    Full,
}

/// What it does besides deciding.
#[derive(Clone, Copy)]
enum Telemetry {
    Nothing,
    /// It reads what requests cost, for their records.
    Reading,
    /// It tells a collector too.
    Telling,
}

impl Telemetry {
    fn of(config: &wire::Config) -> Telemetry {
        match &config.telemetry {
            None => Telemetry::Nothing,
            Some(telemetry) if telemetry.collectors.is_empty() => Telemetry::Reading,
            Some(_) => Telemetry::Telling,
        }
    }
}

impl Class {
    /// Filters of one class share a VM.
    fn vm_id(self) -> String {
        let kind = match self.kind {
            Kind::Light => "keyward-light",
            Kind::Full => "keyward-full",
        };
        let telemetry = match self.telemetry {
            Telemetry::Nothing => "",
            Telemetry::Reading => "-reading",
            Telemetry::Telling => "-telling",
        };
        [kind, telemetry, if self.scrubs { "-scrubbing" } else { "" }].concat()
    }

    fn capabilities(self) -> impl Iterator<Item = &'static str> {
        let full = if matches!(self.kind, Kind::Full) { &FULL[..] } else { &[] };
        let (reading, telling) = match self.telemetry {
            Telemetry::Nothing => (&[][..], &[][..]),
            Telemetry::Reading => (&READING[..], &[][..]),
            Telemetry::Telling => (&READING[..], &TELLING[..]),
        };
        let scrubbing = if self.scrubs { &SCRUBBING[..] } else { &[] };
        LIGHT.iter().chain(full).chain(reading).chain(telling).chain(scrubbing).copied()
    }
}

fn named(
    name: String,
    config: &wire::Config,
    kind: Kind,
    placement: &Placement,
) -> Result<(String, Any), GenerateError> {
    let class = Class { kind, telemetry: Telemetry::of(config), scrubs: config.scrub.bodies };
    let module = placement.module.to_str().ok_or(GenerateError::ModulePath)?;
    let body = plugin(&name, config, class, module, placement.epoch)?;
    Ok((name, body))
}

fn plugin(
    name: &str,
    config: &wire::Config,
    class: Class,
    module: &str,
    epoch: u64,
) -> Result<Any, GenerateError> {
    let vm = wasm::VmConfig {
        vm_id: class.vm_id(),
        runtime: "envoy.wasm.runtime.v8".to_owned(),
        code: Some(core::AsyncDataSource {
            specifier: Some(core::async_data_source::Specifier::Local(core::DataSource {
                specifier: Some(core::data_source::Specifier::Filename(module.to_owned())),
                watched_directory: None,
            })),
        }),
        configuration: Some(pack(&StringValue { value: epoch.to_string() })),
        environment_variables: Some(wasm::EnvironmentVariables {
            host_env_keys: vec![KEYRING_VARIABLE.to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let plugin = wasm::PluginConfig {
        name: name.to_owned(),
        root_id: name.to_owned(),
        configuration: Some(redacted(config)?),
        failure_policy: wasm::FailurePolicy::FailReload as i32,
        // Without it a request whose head waits for its body never gets one.
        allow_on_headers_stop_iteration: boolean(matches!(class.kind, Kind::Full)),
        ..with_vm(vm)
    };
    Ok(merged(&Wasm { config: Some(plugin) }, class.capabilities().map(allowing)))
}

/// The configuration as Envoy's own type for secrets, which `/config_dump` redacts whole.
fn redacted(config: &wire::Config) -> Result<Any, GenerateError> {
    let json = serde_json::to_vec(config).map_err(GenerateError::Encode)?;
    Ok(pack(&GenericSecret {
        secret: Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineBytes(json)),
            watched_directory: None,
        }),
        ..Default::default()
    }))
}

fn allowing(capability: &str) -> Wasm {
    let allowed = [(capability.to_owned(), wasm::SanitizationConfig {})].into();
    let restriction = wasm::CapabilityRestrictionConfig { allowed_capabilities: allowed };
    Wasm {
        config: Some(with_vm(wasm::VmConfig {
            capability_restriction_config: Some(restriction),
            ..Default::default()
        })),
    }
}

fn with_vm(vm: wasm::VmConfig) -> wasm::PluginConfig {
    wasm::PluginConfig { vm: Some(wasm::plugin_config::Vm::VmConfig(vm)), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_filter_that_cleans_bodies_may_change_them() {
        for scrubs in [false, true] {
            let class = Class { kind: Kind::Light, telemetry: Telemetry::Nothing, scrubs };
            for capability in SCRUBBING {
                assert_eq!(class.capabilities().any(|allowed| allowed == capability), scrubs);
            }
            assert_eq!(class.vm_id() == "keyward-light-scrubbing", scrubs);
        }
    }

    #[test]
    fn a_filter_that_only_reads_calls_nobody() {
        let class = |kind, telemetry| Class { kind, telemetry, scrubs: false };
        let may = |class: Class, capability| class.capabilities().any(|allowed| allowed == capability);
        let light = |telemetry| class(Kind::Light, telemetry);
        for telemetry in [Telemetry::Nothing, Telemetry::Reading] {
            for kind in [Kind::Light, Kind::Full] {
                assert!(!may(class(kind, telemetry), "proxy_http_call"));
            }
            assert!(!may(light(telemetry), "random_get"));
        }
        assert!(may(light(Telemetry::Telling), "proxy_http_call"));
        for (telemetry, reads) in
            [(Telemetry::Nothing, false), (Telemetry::Reading, true), (Telemetry::Telling, true)]
        {
            assert_eq!(may(light(telemetry), "proxy_on_response_body"), reads);
        }
    }
}
