//! The resolver of the suite's network: answers from a table, differently the second time where told so (RFC 1035).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const A: u16 = 1;
const AAAA: u16 = 28;
/// Seconds that an answer may be kept: as short as can be said, so that rebinding is seen.
const TTL: u32 = 1;
const NXDOMAIN: u8 = 3;

/// What a name leads to: the addresses of each answer in turn; the last one stays.
#[derive(Debug, Clone, Default)]
struct Entry {
    answers: Vec<Vec<IpAddr>>,
    /// How often each type was asked for.
    asked: BTreeMap<u16, usize>,
}

/// The table, shared with the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Zone(Arc<Mutex<BTreeMap<String, Entry>>>);

impl Zone {
    /// Says where a name leads, from now on.
    pub(crate) fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.set_in_turn(name, &[addresses]);
    }

    /// Says where a name leads: the first answer, the second, and so on; the last one stays.
    pub(crate) fn set_in_turn(&self, name: &str, answers: &[&[IpAddr]]) {
        let answers = answers.iter().map(|addresses| addresses.to_vec()).collect();
        self.lock().insert(name.to_ascii_lowercase(), Entry { answers, ..Entry::default() });
    }

    /// How often a name was asked for, by the type that was asked for most often.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.lock().get(name).and_then(|entry| entry.asked.values().copied().max()).unwrap_or(0)
    }

    /// The answer to one question; None: no such name.
    pub(crate) fn answer(&self, name: &str, kind: u16) -> Option<Vec<IpAddr>> {
        let mut table = self.lock();
        let entry = table.get_mut(name.trim_end_matches('.').to_ascii_lowercase().as_str())?;
        let asked = entry.asked.entry(kind).or_default();
        let answer = entry.answers.get((*asked).min(entry.answers.len().saturating_sub(1)));
        *asked += 1;
        let of_kind = |address: &IpAddr| address.is_ipv4() == (kind == A);
        Some(answer.into_iter().flatten().copied().filter(of_kind).collect())
    }

    /// What a careless resolver makes of a name: IPv4 before IPv6.
    pub(crate) fn first(&self, name: &str) -> Option<IpAddr> {
        [A, AAAA].iter().find_map(|kind| self.answer(name, *kind)?.first().copied())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the table at this address until the task is aborted.
pub(super) async fn serve(zone: Zone, address: SocketAddr) -> std::io::Result<JoinHandle<()>> {
    let socket = UdpSocket::bind(address).await?;
    Ok(tokio::spawn(async move {
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(answer) = reply(&zone, &query[..length]) {
                // Who asked may be gone.
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }))
}

/// The answer to a query with one question; None for anything else.
fn reply(zone: &Zone, query: &[u8]) -> Option<Vec<u8>> {
    let (name, end) = question(query)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let found = if [A, AAAA].contains(&kind) { zone.answer(&name, kind) } else { Some(Vec::new()) };
    let addresses = found.clone().unwrap_or_default();
    let code = if found.is_none() { NXDOMAIN } else { 0 };
    let mut answer = query.get(..2)?.to_vec();
    // Response, recursion desired and available.
    answer.extend([0x81, 0x80 | code, 0, 1]);
    answer.extend(u16::try_from(addresses.len()).ok()?.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(query.get(12..end + 4)?);
    for address in addresses {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        // The name is that of the question, at offset 12.
        answer.extend([0xc0, 12]);
        answer.extend([kind.to_be_bytes(), [0, 1]].concat());
        answer.extend(TTL.to_be_bytes());
        answer.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
        answer.extend(octets);
    }
    Some(answer)
}

/// The name of the question, and where its type stands.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned());
        at += length;
    }
}
