//! What a monitoring system is told: how the controller and its gateways stand, as a [`Reading`], in the text formats of
//! Prometheus and OpenMetrics, over an [`Endpoint`] for Prometheus.
//!
//! The statistics of each gateway's Envoy are behind the same endpoint, one path for each: a selection, since Envoy has
//! thousands. No label holds a secret, or anything that an agent chose. Absent on purpose: pushing, and TLS. Whoever
//! reaches the endpoint may read it.

mod endpoint;
mod envoy;
mod exposition;
mod pages;
mod reading;

pub(crate) use endpoint::{Endpoint, Question};
pub(crate) use reading::{Gateway, Propagation, Reading, SecretAges, Tokens, conditions};
