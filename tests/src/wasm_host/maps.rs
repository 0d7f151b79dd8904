//! Header maps as a module sees them: names in lower case, values as bytes, equal names side by side or not.

/// A header map, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// From text.
    #[must_use]
    pub fn new(lines: &[(&str, &str)]) -> Headers {
        let bytes = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        Headers(lines.iter().map(bytes).collect())
    }

    /// Every value of a name, as text.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|(n, _)| n == name.as_bytes());
        of_name.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub(super) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| *n == lower(name)).map(|(_, value)| value.as_slice())
    }

    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.0.push((lower(name), value.to_vec()));
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.0.retain(|(n, _)| *n != lower(name));
    }

    /// Leaves exactly one value, at the place of the first.
    pub(super) fn replace(&mut self, name: &[u8], value: &[u8]) {
        let at = self.0.iter().position(|(n, _)| *n == lower(name)).unwrap_or(self.0.len());
        self.remove(name);
        self.0.insert(at.min(self.0.len()), (lower(name), value.to_vec()));
    }

    /// The form in which maps cross into a module: count, sizes, then names and values, each ended by a zero byte.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = size(self.0.len());
        for (name, value) in &self.0 {
            bytes.extend([size(name.len()), size(value.len())].concat());
        }
        for (name, value) in &self.0 {
            bytes.extend([name.as_slice(), b"\0", value, b"\0"].concat());
        }
        bytes
    }

    /// The reverse; None when the bytes are not whole.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Headers> {
        if bytes.is_empty() {
            return Some(Headers::default());
        }
        let word = |index: usize| {
            let word = bytes.get(index * 4..index * 4 + 4)?;
            usize::try_from(u32::from_le_bytes(word.try_into().ok()?)).ok()
        };
        let count = word(0)?;
        let mut at = 4 + count.checked_mul(8)?;
        let mut headers = Headers::default();
        for index in 0..count {
            let (name, value) = (word(1 + index * 2)?, word(2 + index * 2)?);
            let start = at + name + 1;
            headers.0.push((bytes.get(at..at + name)?.to_vec(), bytes.get(start..start + value)?.to_vec()));
            at = start + value + 1;
        }
        Some(headers)
    }
}

fn lower(name: &[u8]) -> Vec<u8> {
    name.to_ascii_lowercase()
}

fn size(length: usize) -> Vec<u8> {
    u32::try_from(length).expect("a map that fits into a module").to_le_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::Headers;

    #[test]
    fn a_map_survives_the_crossing() {
        let map = Headers(vec![
            (b"a".to_vec(), vec![0xff, 0]),
            (b"b".to_vec(), Vec::new()),
            (b"a".to_vec(), b"2".to_vec()),
        ]);
        assert_eq!(Headers::from_bytes(&map.to_bytes()), Some(map.clone()));
        assert_eq!(Headers::from_bytes(&map.to_bytes()[..9]), None);
    }

    #[test]
    fn replacing_leaves_one_value_where_the_first_stood() {
        let mut map = Headers::new(&[("a", "1"), ("b", "2"), ("a", "3")]);
        map.replace(b"A", b"new");
        assert_eq!(map, Headers::new(&[("a", "new"), ("b", "2")]));
    }
}
