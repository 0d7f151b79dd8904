//! The credential goes to the wrong place: D1 to D14.

mod addresses;
mod authority;
mod certificates;
mod cleartext;
mod controls;
mod egress;
mod handshake;
mod names;
mod providers;
mod proxied;
mod redirect;
mod sealed;
mod tunnel;
mod withdrawal;

use crate::row::Row;

pub(super) fn rows() -> Vec<Row> {
    let groups = [
        names::rows(),
        authority::rows(),
        providers::rows(),
        addresses::rows(),
        redirect::rows(),
        sealed::rows(),
        cleartext::rows(),
        certificates::rows(),
        controls::rows(),
        handshake::rows(),
        withdrawal::rows(),
        tunnel::rows(),
        egress::rows(),
        proxied::rows(),
    ];
    groups.into_iter().flatten().collect()
}
