//! Where the inspector listens: an address that other machines do not reach.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// A loopback address and a port; port 0 means a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    pub(super) fn address(self) -> SocketAddr {
        self.0
    }
}

impl Default for Loopback {
    fn default() -> Loopback {
        Loopback(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LoopbackError {
    /// It is none.
    #[error("not an address and port such as 127.0.0.1:8080 or [::1]:0")]
    Address,
    /// Other machines might reach it.
    #[error(
        "the inspector listens on loopback alone: use 127.0.0.1 or [::1], and reach it from elsewhere by ssh -L"
    )]
    NotLoopback,
}

impl FromStr for Loopback {
    type Err = LoopbackError;

    fn from_str(text: &str) -> Result<Loopback, LoopbackError> {
        let address: SocketAddr = text.parse().map_err(|_| LoopbackError::Address)?;
        if address.ip().is_loopback() { Ok(Loopback(address)) } else { Err(LoopbackError::NotLoopback) }
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_loopback_is_taken() {
        for (text, expected) in [
            ("127.0.0.1:0", Ok(())),
            ("127.8.0.1:9", Ok(())),
            ("[::1]:8080", Ok(())),
            ("0.0.0.0:0", Err(LoopbackError::NotLoopback)),
            ("[::]:0", Err(LoopbackError::NotLoopback)),
            ("192.168.0.1:80", Err(LoopbackError::NotLoopback)),
            ("localhost:80", Err(LoopbackError::Address)),
            ("127.0.0.1", Err(LoopbackError::Address)),
            ("", Err(LoopbackError::Address)),
        ] {
            assert_eq!(
                text.parse::<Loopback>().map(|it| assert_eq!(it.to_string(), text)),
                expected,
                "{text}"
            );
        }
    }
}
