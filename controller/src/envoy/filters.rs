//! The filter module's configurations, one ECDS resource each: the guard and every bucket.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::GenericSecret;
use envoy_types::pb::envoy::extensions::wasm::v3 as wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use policy::wire;

use super::any::{merged, pack};
use super::{GenerateError, Placement, names};
use crate::plan::GatewayPlan;

/// The environment variable with the sealing keys. Only its name stands in the configuration.
pub const KEYRING_VARIABLE: &str = "KEYWARD_KEYRING";

/// The *light* capability class: what the module may import from the host, and which of its exports the host calls.
/// Bodies are not among them, so a light filter never sees one. A call to an import that is missing here
/// traps. `proxy_on_delete` frees a stream; `fd_write` and `proc_exit` are how the module's runtime aborts.
const LIGHT: [&str; 26] = [
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "proxy_add_header_map_value",
    "proxy_close_stream",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
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

/// Every filter configuration with its name, in the order of their names.
pub(super) fn filters(
    plan: &GatewayPlan,
    placement: &Placement,
) -> Result<Vec<(String, Any)>, GenerateError> {
    let module = placement.module.to_str().ok_or(GenerateError::ModulePath)?;
    let plugin = |name: String, config: &wire::Config| {
        let body = plugin(&name, config, module, placement.epoch)?;
        Ok((name, body))
    };
    let buckets = plan.buckets.iter().enumerate().map(|(index, config)| plugin(names::bucket(index), config));
    let mut all = buckets.collect::<Result<Vec<_>, GenerateError>>()?;
    all.push(plugin(names::GUARD.to_owned(), &plan.guard)?);
    Ok(all)
}

fn plugin(name: &str, config: &wire::Config, module: &str, epoch: u64) -> Result<Any, GenerateError> {
    let vm = wasm::VmConfig {
        vm_id: "keyward-light".to_owned(),
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
        ..with_vm(vm)
    };
    Ok(merged(&Wasm { config: Some(plugin) }, LIGHT.map(allowing)))
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
