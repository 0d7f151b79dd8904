//! A header map as the host gives it: one run of bytes, read where it lies. A name and a value of their own for each
//! header would be sixty allocations for a request and its answer.

use std::ops::Range;

/// Headers in order, pseudo-headers and duplicates included. Names and values are any bytes.
#[derive(Default)]
pub struct HeaderMap {
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

/// Where a header lies.
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// A number in the serialization.
const WORD: usize = size_of::<u32>();

impl HeaderMap {
    /// Reads a map as `proxy_get_header_map_pairs` serializes it (proxy-wasm ABI 0.2.1): how many headers there are, the
    /// length of each name and value, then the names and values, each with a NUL after it; numbers are 32 bits,
    /// little-endian. No bytes are no headers. `None`: the lengths go beyond the bytes.
    #[must_use]
    pub fn from_wire(bytes: Vec<u8>) -> Option<HeaderMap> {
        if bytes.is_empty() {
            return Some(HeaderMap::default());
        }
        let (count, rest) = bytes.split_first_chunk::<WORD>()?;
        let (lengths, _) = rest.split_at_checked(number(*count).checked_mul(2 * WORD)?)?;
        let (lengths, _) = lengths.as_chunks::<WORD>();
        let mut at = (1 + lengths.len()) * WORD;
        let mut next = |length: &[u8; WORD]| {
            let range = at..at.checked_add(number(*length))?;
            at = range.end.checked_add(1)?;
            (at <= bytes.len()).then_some(range)
        };
        let (pairs, _) = lengths.as_chunks::<2>();
        let field = |[name, value]: &[[u8; WORD]; 2]| Some(Field { name: next(name)?, value: next(value)? });
        let fields = pairs.iter().map(field).collect::<Option<Vec<_>>>()?;
        Some(HeaderMap { bytes, fields })
    }

    /// Names with values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.part(&field.name), self.part(&field.value)))
    }

    /// The first value under a name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// Takes out the first header of a name; its value.
    pub fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        let at = self.iter().position(|(other, _)| other == name.as_bytes())?;
        let field = self.fields.remove(at);
        Some(self.part(&field.value).to_vec())
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

fn number(bytes: [u8; WORD]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut map = HeaderMap::default();
        for (name, value) in headers {
            let mut append = |part: &[u8]| {
                let start = map.bytes.len();
                map.bytes.extend_from_slice(part);
                start..map.bytes.len()
            };
            let (name, value) = (append(name.as_ref()), append(value.as_ref()));
            map.fields.push(Field { name, value });
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::HeaderMap;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn wire(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        let number = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
        let parts = headers.iter().flat_map(|(name, value)| [*name, *value]);
        let mut wire = number(headers.len()).to_vec();
        parts.clone().for_each(|part| wire.extend(number(part.len())));
        parts.for_each(|part| wire.extend([part, b"\0"].concat()));
        wire
    }

    const HEADERS: [(&[u8], &[u8]); 4] =
        [(b":path", b"/"), (b"x-odd", b"\xff\0"), (b"x-odd", b""), (b"\xff", b"1")];

    #[test]
    fn what_is_serialized_is_read() {
        for headers in [&HEADERS[..], &[]] {
            let map = HeaderMap::from_wire(wire(headers)).expect("a map");
            assert!(map.iter().eq(headers.iter().copied()));
            assert!(headers.iter().copied().collect::<HeaderMap>().iter().eq(headers.iter().copied()));
        }
        assert_eq!(HeaderMap::from_wire(Vec::new()).expect("no headers").iter().count(), 0);
    }

    #[test]
    fn lengths_that_go_beyond_the_bytes_are_refused() {
        let whole = wire(&HEADERS);
        for end in 1..whole.len() {
            assert!(HeaderMap::from_wire(whole[..end].to_vec()).is_none(), "{end} bytes");
        }
        for word in 0..9 {
            let mut wrong = whole.clone();
            wrong[word * 4..][..4].fill(0xff);
            assert!(HeaderMap::from_wire(wrong).is_none(), "number {word}");
        }
    }

    #[test]
    fn the_first_of_a_name_is_taken_out() {
        let mut map: HeaderMap = HEADERS.into_iter().collect();
        assert_eq!(map.first("x-odd"), Some(&b"\xff\0"[..]));
        assert_eq!(map.take("x-odd").as_deref(), Some(&b"\xff\0"[..]));
        assert!(map.iter().eq([HEADERS[0], HEADERS[2], HEADERS[3]]));
        assert_eq!((map.take("absent"), map.first("x-odd")), (None, Some(&b""[..])));
    }
}
