//! `EgressL4Route`: destinations that are allowed by address, name and port.

use serde::Deserialize;

use super::reference::ParentReference;
use super::status::RouteStatus;
use super::{Object, Opaque};

/// Allows destinations under `deny-all`.
pub type EgressL4Route = Object<Spec, RouteStatus>;

/// What a route wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// The gateways.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// A destination is covered when any match of any rule fits.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Which agents it speaks of.
    pub source_agents: Option<Opaque>,
}

/// Matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Any of these.
    #[serde(default)]
    pub matches: Vec<Match>,
    /// Which agents it speaks of.
    pub source_agents: Option<Opaque>,
}

/// Destinations: (any network or any name), any port, and the protocol. What is empty means any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Match {
    /// Networks.
    #[serde(default, rename = "destinationCIDRs")]
    pub destination_cidrs: Vec<String>,
    /// Names.
    #[serde(default)]
    pub destination_hostnames: Vec<String>,
    /// Ports.
    #[serde(default)]
    pub ports: Vec<PortMatch>,
    /// Protocol.
    pub protocol: Option<String>,
    /// Which agents it speaks of.
    pub source_agents: Option<Opaque>,
}

/// One port, or a range.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PortMatch {
    /// One port.
    pub port: Option<u16>,
    /// First of a range.
    pub start_port: Option<u16>,
    /// Last of a range.
    pub end_port: Option<u16>,
}
