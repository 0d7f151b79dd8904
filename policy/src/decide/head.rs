//! The head of a request, borrowed from the host's header map.

use crate::denial::Reason;
use crate::header_map::HeaderMap;
use crate::rules::NEVER_METHODS;

/// A request's head, as bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:scheme`.
    pub scheme: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// `:path`: path and query.
    pub path: &'a [u8],
    /// `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'a [u8]>,
    /// All other headers, in order, duplicates included.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    /// The head in a header map.
    #[must_use]
    pub fn of(map: &'a HeaderMap) -> Self {
        Head::from_map(map.iter())
    }

    /// Sorts a header map into a head. A pseudo-header that is unknown or comes twice stays among the headers, where
    /// its name is refused.
    #[must_use]
    pub fn from_map(map: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let map = map.into_iter();
        let mut head = Head { headers: Vec::with_capacity(map.size_hint().0), ..Head::default() };
        let mut seen: Vec<&[u8]> = Vec::with_capacity(5);
        for (name, value) in map {
            let first = name.starts_with(b":") && !seen.contains(&name);
            if first && head.set_pseudo(name, value) {
                seen.push(name);
            } else {
                head.headers.push((name, value));
            }
        }
        head
    }

    /// Whether the name is one of the pseudo-headers known here.
    fn set_pseudo(&mut self, name: &[u8], value: &'a [u8]) -> bool {
        match name {
            b":method" => self.method = value,
            b":scheme" => self.scheme = value,
            b":authority" => self.authority = value,
            b":path" => self.path = value,
            b":protocol" => self.protocol = Some(value),
            _ => return false,
        }
        true
    }

    /// Names that are no tokens may be read as other names by someone behind us.
    pub(super) fn check_names(&self) -> Result<(), Reason> {
        let token = |name: &[u8]| !name.is_empty() && name.iter().all(|b| is_token_byte(*b));
        if self.headers.iter().all(|(name, _)| token(name)) {
            Ok(())
        } else {
            Err(Reason::HeaderNameMalformed)
        }
    }

    /// TRACE echoes the credential; CONNECT, extended or not, opens a way that nothing watches.
    pub(super) fn check_method(&self) -> Result<(), Reason> {
        let never = self.protocol.is_some()
            || NEVER_METHODS.iter().any(|never| self.method.eq_ignore_ascii_case(never.as_bytes()));
        if never { Err(Reason::MethodNotAllowed) } else { Ok(()) }
    }

    /// Whether it asks for another protocol on the same connection (RFC 9110, 7.8).
    pub(crate) fn is_upgrade(&self) -> bool {
        self.headers.iter().any(|(name, _)| same_header(name, "upgrade"))
    }

    /// Whether it is a call of gRPC, whose body may be answered before it ends.
    pub(crate) fn is_grpc(&self) -> bool {
        let grpc =
            |value: &[u8]| value.trim_ascii_start().to_ascii_lowercase().starts_with(b"application/grpc");
        self.headers.iter().any(|(name, value)| same_header(name, "content-type") && grpc(value))
    }

    /// Whether its body is a stream that cannot be waited for.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.is_upgrade() || self.is_grpc()
    }

    /// Methods are case-sensitive (RFC 9110, 9.1).
    pub(super) fn has_method_of<S: AsRef<str>>(&self, methods: &[S]) -> bool {
        methods.iter().any(|method| method.as_ref().as_bytes() == self.method)
    }
}

/// A byte of a token (RFC 9110, 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether a name that an agent sent may be read as `name`: in any case, and with `_` for `-` as CGI-like servers do.
pub(crate) fn same_header(sent: &[u8], name: &str) -> bool {
    let fold = |b: u8| if b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    sent.len() == name.len() && sent.iter().zip(name.bytes()).all(|(a, b)| fold(*a) == fold(b))
}
