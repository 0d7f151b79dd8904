//! The proxy-wasm module: an adapter between Envoy's callbacks and the policy crate.
//!
//! Absent on purpose: policy. What a request may do is decided by [`policy::rules::RuleSet::decide`]; here its edits
//! are applied, one host call each, and its denials answered. Only `host.rs` calls the host.

mod answer;
mod body;
mod configuration;
mod host;
mod jwt;
mod metrics;
mod root;
mod stream;
mod telling;
mod vm;
mod watch;

mod entry {
    use crate::root::Root;

    proxy_wasm::main! {{
        // A panic message can quote header bytes; Envoy reports the trap without it.
        std::panic::set_hook(Box::new(|_| ()));
        proxy_wasm::set_root_context(|_| Box::new(Root::default()));
    }}
}

const _: () = assert!(matches!(policy::wire::VERSIONS_READ, [1]), "CONFIG_VERSIONS names them");

/// The custom section `keyward.config_versions`: the configuration versions that the module reads, as a JSON list.
#[cfg(target_arch = "wasm32")]
#[expect(
    unsafe_code,
    reason = "a custom section needs `link_section`; this one is data that nothing links to"
)]
#[used]
#[unsafe(link_section = "keyward.config_versions")]
static CONFIG_VERSIONS: [u8; 3] = *b"[1]";
