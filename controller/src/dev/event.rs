//! What `keyward dev` reports, as [`super::output`] writes it.

use serde::{Deserialize, Serialize};

use crate::terminal::Line;

/// One line of `--json` output.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Every gateway serves. With `--json` this is the first line.
    Ready {
        /// The gateways.
        gateways: Vec<GatewayAddress>,
        /// The URL of the inspector's page, with the token that opens it.
        #[serde(skip_serializing_if = "Option::is_none")]
        inspector: Option<String>,
        /// The URL of the metrics, where they are served.
        #[serde(skip_serializing_if = "Option::is_none")]
        metrics: Option<String>,
    },
    /// A gateway started serving, or is gone, after a change of the manifests or a failure of its Envoy.
    Gateway {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What happened.
        state: GatewayState,
        /// Where it is reached, when it serves.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<GatewayAddress>,
    },
    /// The conditions of an object changed.
    Conditions {
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// All its conditions.
        conditions: Vec<ConditionLine>,
    },
    /// Something in the manifests cannot be used.
    Problem {
        /// What, where and what to do: `FILE:LINE: …`.
        message: String,
    },
    /// A request, a refused CONNECT, a failed handshake: an entry of Envoy's access log.
    Access {
        /// The gateway's namespace.
        namespace: String,
        /// The gateway's name.
        name: String,
        /// The entry.
        entry: serde_json::Value,
        /// The entry for people, where they need to see it.
        #[serde(skip)]
        line: Option<Line>,
    },
}

/// Where a gateway is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayAddress {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// The URL for `HTTPS_PROXY`.
    pub(crate) proxy: String,
    /// `ADDR:PORT` of the transparent port.
    pub(crate) transparent: Option<String>,
    /// Path of the CA certificate that agents must trust.
    pub(crate) ca: String,
}

/// What happened to a gateway.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GatewayState {
    /// It serves.
    Started,
    /// Its Envoy ended and is being started again.
    Restarting,
    /// Its object is gone.
    Removed,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConditionLine {
    /// What it is a condition of, where an object has several (`parent default/echo-bot`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<String>,
    /// Type.
    pub(crate) r#type: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// Machine-readable reason.
    pub(crate) reason: String,
    /// Field and remedy.
    pub(crate) message: String,
}
