//! Listening ports, held for as long as `keyward dev` runs.
//!
//! Envoy listens; Keyward only binds the same address with `SO_REUSEPORT` and never listens on it. So a port that
//! was free stays ours while an Envoy is restarted, port 0 has a number before Envoy starts, and a taken port is
//! reported before anything runs.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use super::args::Listen;
use crate::plan::ObjectKey;

/// A bound address. Dropping it gives the port back.
pub(super) struct Reservation {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Reservation {
    fn bind(address: SocketAddr) -> Result<Self, PortError> {
        let socket = bind_shared(address).map_err(|error| PortError::Bind { address, error })?;
        let address = socket.local_addr().map_err(|error| PortError::Bind { address, error })?;
        Ok(Reservation { address, _socket: socket })
    }

    /// The address with its real port.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bind_shared(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.port() != 0 {
        refuse_taken(address)?;
    }
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Without `SO_REUSEPORT` first: with it, a port that another program of the same user shares would be taken too.
fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    std::net::TcpListener::bind(address).map(drop)
}

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum PortError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {error}; choose another with --listen, or port 0 for a free one")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// `--listen` names a gateway that does not exist.
    #[error("{flag} {listen}: there is no such EgressGateway; the manifests have {known}")]
    UnknownGateway {
        /// The flag.
        flag: &'static str,
        /// Its value.
        listen: String,
        /// Those that exist.
        known: String,
    },
    /// `--listen` names no gateway, and there are several.
    #[error("{flag} {listen}: say which gateway, as NAMESPACE/NAME=ADDR:PORT; the manifests have {known}")]
    Ambiguous {
        /// The flag.
        flag: &'static str,
        /// Its value.
        listen: String,
        /// Those that exist.
        known: String,
    },
}

/// The ports of one gateway.
pub(super) struct Ports {
    /// The proxy port.
    pub(super) proxy: Reservation,
    /// The transparent port, where one was asked for.
    pub(super) transparent: Option<Reservation>,
}

/// Which address each gateway was given on the command line.
pub(super) struct Addresses {
    proxy: BTreeMap<ObjectKey, SocketAddr>,
    transparent: BTreeMap<ObjectKey, SocketAddr>,
}

impl Addresses {
    /// Assigns the values of both flags to the gateways that exist.
    ///
    /// # Errors
    /// A value that names no gateway or an unknown one.
    pub(super) fn assign(
        proxy: &[Listen],
        transparent: &[Listen],
        gateways: &[ObjectKey],
    ) -> Result<Self, PortError> {
        Ok(Addresses {
            proxy: assign("--listen", proxy, gateways)?,
            transparent: assign("--transparent-listen", transparent, gateways)?,
        })
    }

    /// Binds what the gateway was given; a free loopback port where nothing was said of its proxy port.
    ///
    /// # Errors
    /// An address that cannot be bound.
    pub(super) fn reserve(&self, gateway: &ObjectKey) -> Result<Ports, PortError> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Ports {
            proxy: Reservation::bind(*self.proxy.get(gateway).unwrap_or(&loopback))?,
            transparent: self.transparent.get(gateway).copied().map(Reservation::bind).transpose()?,
        })
    }
}

fn assign(
    flag: &'static str,
    values: &[Listen],
    gateways: &[ObjectKey],
) -> Result<BTreeMap<ObjectKey, SocketAddr>, PortError> {
    let known = || gateways.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    values
        .iter()
        .map(|listen| match (&listen.gateway, gateways) {
            (Some(gateway), _) if gateways.contains(gateway) => Ok((gateway.clone(), listen.address)),
            (Some(_), _) => {
                Err(PortError::UnknownGateway { flag, listen: listen.to_string(), known: known() })
            }
            (None, [only]) => Ok((only.clone(), listen.address)),
            (None, _) => Err(PortError::Ambiguous { flag, listen: listen.to_string(), known: known() }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "default".into(), name: name.into() }
    }

    fn assign_error(listen: &str, gateways: &[ObjectKey]) -> String {
        match Addresses::assign(&[listen.parse().expect("a listen value")], &[], gateways) {
            Ok(_) => panic!("{listen} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_value_without_a_gateway_is_refused_where_there_are_two() {
        let message = assign_error("127.0.0.1:0", &[key("a"), key("b")]);
        assert!(message.contains("default/a, default/b"), "{message}");
    }

    #[test]
    fn a_value_for_an_unknown_gateway_names_those_that_exist() {
        let message = assign_error("c=127.0.0.1:0", &[key("a")]);
        assert!(message.contains("default/c") && message.contains("default/a"), "{message}");
    }

    #[tokio::test]
    async fn a_taken_port_is_reported_and_a_free_one_has_a_number() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("its address");
        let error = Reservation::bind(address).err().expect("the port is taken").to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
        let free = Reservation::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        assert_ne!(free.address().port(), 0);
    }
}
