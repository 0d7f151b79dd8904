//! Addresses on the loopback interface, by netlink: the command `ip` is not everywhere (rtnetlink(7)).

use std::io::{Error, Result};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with};

/// How long the kernel may take until an address can be connected to.
const PATIENCE: Duration = Duration::from_secs(10);
/// The loopback interface is the first of every network namespace.
const LOOPBACK: u32 = 1;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_ACK`
const ACKNOWLEDGED: u16 = 0x1 | 0x4;
/// `NLM_F_CREATE | NLM_F_EXCL`
const NEW: u16 = 0x400 | 0x200;
const NLMSG_ERROR: u16 = 2;
/// `IFA_F_NODAD`: usable at once, nobody else can have it.
const NO_DETECTION: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const EEXIST: i32 = 17;

/// A socket that configures the loopback interface of this network namespace.
pub(super) struct Loopback(OwnedFd);

impl Loopback {
    pub(super) fn open() -> Result<Loopback> {
        // No protocol means NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
        Ok(Loopback(socket?))
    }

    /// Brings the interface up.
    pub(super) fn up(&self) -> Result<()> {
        let mut link = vec![0; 4];
        link.extend(LOOPBACK.to_ne_bytes());
        // Flags, and which of them change: IFF_UP.
        link.extend([1u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat());
        self.ask(RTM_NEWLINK, 0, &link)
    }

    /// Gives it an address. One that it has already is fine.
    pub(super) fn add(&self, address: IpAddr) -> Result<()> {
        let (family, length, octets) = match address {
            IpAddr::V4(v4) => (2, 32, v4.octets().to_vec()),
            IpAddr::V6(v6) => (10, 128, v6.octets().to_vec()),
        };
        let mut message = vec![family, length, NO_DETECTION, 0];
        message.extend(LOOPBACK.to_ne_bytes());
        for kind in [IFA_LOCAL, IFA_ADDRESS] {
            message.extend(u16::try_from(octets.len() + 4).expect("a short attribute").to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend(&octets);
        }
        match self.ask(RTM_NEWADDR, NEW, &message) {
            Err(error) if error.raw_os_error() == Some(EEXIST) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => reached(address),
        }
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
        let mut message = Vec::new();
        message.extend(u32::try_from(body.len() + 16).expect("a short message").to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((ACKNOWLEDGED | flags).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        sendto(&self.0, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answer = [0; 4096];
        let (length, _) = recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        verdict(&answer[..length])
    }
}

/// An acknowledgement is an error message with the number 0.
fn verdict(answer: &[u8]) -> Result<()> {
    let kind = answer.get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let number = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, number) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(number)) => Err(Error::from_raw_os_error(-number)),
        _ => Err(Error::other("an answer of another kind")),
    }
}

/// Waits until an address of ours can be connected to: the kernel acknowledges one of IPv6, and lets it be listened at,
/// before its packets arrive.
fn reached(address: IpAddr) -> Result<()> {
    let listener = TcpListener::bind((address, 0))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE) {
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            other => return other.map(drop),
        }
    }
}
