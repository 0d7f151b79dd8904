//! No agent writes what the filter believes of its connection.

use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation;
use policy::wire::CONNECTION_HEADER;

use super::reading::{Configuration, unpack};
use crate::envoy::names;

/// Behind TLS the header is overwritten with our own filter state; elsewhere it is removed. No route lets it out.
pub(super) fn agents_cannot_tell_of_it(configuration: &Configuration, all: &mut Vec<String>) {
    for manager in configuration.managers() {
        let behind_tls = manager.stat_prefix == "mitm";
        if !early_actions(&manager).iter().any(|action| settles(action, behind_tls)) {
            all.push(format!("{}: an agent can write {CONNECTION_HEADER}", manager.stat_prefix));
        }
    }
    for routes in configuration.routes.values() {
        if !routes.request_headers_to_remove.iter().any(|name| name == CONNECTION_HEADER) {
            all.push(format!("{}: {CONNECTION_HEADER} goes upstream", routes.name));
        }
    }
}

fn settles(action: &Action, behind_tls: bool) -> bool {
    let ours = format!("%FILTER_STATE({}:PLAIN)%", names::CONNECTION);
    match action {
        Action::Append(option) => {
            let header = option.header.clone().unwrap_or_default();
            let overwrites = option.append_action == HeaderAppendAction::OverwriteIfExistsOrAdd as i32;
            behind_tls && overwrites && header.key == CONNECTION_HEADER && header.value == ours
        }
        Action::Remove(name) => !behind_tls && name == CONNECTION_HEADER,
        _ => false,
    }
}

fn early_actions(manager: &hcm::HttpConnectionManager) -> Vec<Action> {
    let configs = manager.early_header_mutation_extensions.iter().filter_map(|e| e.typed_config.as_ref());
    let mutations = configs.flat_map(|config| unpack::<HeaderMutation>(config).mutations);
    mutations.filter_map(|mutation| mutation.action).collect()
}
