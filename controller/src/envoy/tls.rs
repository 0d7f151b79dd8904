//! TLS on both sides: leaves asked for by SNI towards the agent, one verified trust bundle towards upstreams.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::cert_mappers::sni::v3::Sni;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::cert_selectors::on_demand_secret::v3 as on_demand;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::pb::google::protobuf::Any;

use super::any::{ads, extension, inline, pack};
use super::names;
use crate::plan::GatewayPlan;

/// The secret that upstreams are verified against; one for all clusters.
pub(super) fn trust_bundle(plan: &GatewayPlan) -> tls::Secret {
    tls::Secret {
        name: names::TRUST_BUNDLE.to_owned(),
        r#type: Some(tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
            trusted_ca: Some(inline(plan.trust_bundle.clone())),
            ..Default::default()
        })),
    }
}

/// Ends the agent's TLS with a leaf that the controller mints for the SNI. The SDS name is the SNI.
pub(super) fn intercepting() -> core::TransportSocket {
    let selector = on_demand::Config {
        config_source: Some(ads()),
        certificate_mapper: Some(extension(
            "envoy.tls.certificate_mappers.sni",
            pack(&Sni { default_value: names::NO_SNI.to_owned() }),
        )),
        ..Default::default()
    };
    let common = tls::CommonTlsContext {
        alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
        custom_tls_certificate_selector: Some(extension(
            "envoy.tls.certificate_selectors.on_demand_secret",
            pack(&selector),
        )),
        ..Default::default()
    };
    // A resumed session would skip the certificate selector, which refuses to run with resumption on.
    let context = tls::DownstreamTlsContext {
        common_tls_context: Some(common),
        disable_stateful_session_resumption: true,
        session_ticket_keys_type: Some(
            tls::downstream_tls_context::SessionTicketKeysType::DisableStatelessSessionResumption(true),
        ),
        ..Default::default()
    };
    socket("envoy.transport_sockets.tls", pack(&context))
}

/// Verifies the upstream. SNI and expected name follow the request's authority (`auto_sni`, `auto_san_validation`).
pub(super) fn verifying() -> core::TransportSocket {
    let trust = tls::SdsSecretConfig { name: names::TRUST_BUNDLE.to_owned(), sds_config: Some(ads()) };
    let context = tls::UpstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            validation_context_type: Some(
                tls::common_tls_context::ValidationContextType::ValidationContextSdsSecretConfig(trust),
            ),
            ..Default::default()
        }),
        ..Default::default()
    };
    socket("envoy.transport_sockets.tls", pack(&context))
}

pub(super) fn socket(name: &str, config: Any) -> core::TransportSocket {
    core::TransportSocket {
        name: name.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(config)),
    }
}
