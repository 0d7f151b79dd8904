//! The delta session against the real Envoy: the controller runs inside the test, so that its clock, its snapshots
//! and its end are the test's to choose, and a tee between the two keeps every message of the wire.

mod asked_again;
mod hammer;
mod many_names;
mod order;
mod reconnect;
mod refused;
mod renewal;
mod restart;
mod rig;
mod sealed;
mod tee;
mod wire;
mod world;
