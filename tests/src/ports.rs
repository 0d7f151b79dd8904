//! Ports for what has to be told one: a program that cannot say which it took, or one that is not there yet.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below what systems give to whoever asks for any port, 32768 to 60999 on Linux (`ip_local_port_range`): a port that was
/// free stays so, whatever else starts meanwhile.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of 127.0.0.1 that nobody listens at. Panics when there is none.
#[must_use]
pub fn free() -> u16 {
    let width = u64::from(RANGE.end - RANGE.start);
    // Another one each time, since other tests ask too.
    let first = RandomState::new().hash_one(0_u8);
    (0..width)
        .filter_map(|step| u16::try_from(first.wrapping_add(step) % width).ok())
        .map(|offset| RANGE.start + offset)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}
