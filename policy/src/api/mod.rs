//! The kinds of `clrk.apoxy.dev/v1alpha1` (and the core `Secret` and `Namespace`) as strict types, one file per kind, for every source
//! of manifests.
//!
//! A manifest is decoded from a JSON value and refused as a whole when anything in it is unknown. Absent on purpose:
//! references, defaults that need another object, and rules that span fields; those are the compiler's, which answers
//! them with conditions.

pub mod ai_provider_route;
pub mod backend;
pub mod credential_injection_policy;
mod decode;
pub mod egress_deny_policy;
pub mod egress_gateway;
pub mod egress_l4_route;
mod error;
pub mod fallback_routing_policy;
pub mod label_selector;
pub mod logging_policy;
mod manifest;
pub mod mcp_route;
pub mod namespace;
mod nearest;
mod object;
mod opaque;
pub mod rate_limit_policy;
pub mod reference;
pub mod secret;
pub mod status;

pub use ai_provider_route::AiProviderRoute;
pub use backend::Backend;
pub use credential_injection_policy::CredentialInjectionPolicy;
pub use egress_deny_policy::EgressDenyPolicy;
pub use egress_gateway::EgressGateway;
pub use egress_l4_route::EgressL4Route;
pub use error::{Cause, FieldPath, Identity, ManifestError, Step};
pub use fallback_routing_policy::FallbackRoutingPolicy;
pub use logging_policy::LoggingPolicy;
pub use manifest::{Kind, Manifest};
pub use mcp_route::McpRoute;
pub use namespace::Namespace;
pub use object::{Metadata, Object};
pub use opaque::Opaque;
pub use rate_limit_policy::RateLimitPolicy;
pub use secret::{Secret, SecretText, SecretValue};

/// The API group of every kind but the core ones.
pub const GROUP: &str = "clrk.apoxy.dev";

/// `apiVersion` of every kind but the core ones.
pub const API_VERSION: &str = "clrk.apoxy.dev/v1alpha1";
