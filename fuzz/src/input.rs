//! Cutting an input into the parts that a property speaks of.
//!
//! Lines and plain bytes, so that corpora can be read and written by hand.

/// The next `N` lines, without their ends; the last one takes all that is left. Missing ones are empty.
pub(crate) fn lines<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut lines = input.splitn(N, |b| *b == b'\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default())
}

/// Bytes taken one by one, zero for ever after the last.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    pub(crate) fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.next()) % count
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// `%XX` undone once; what is no escape stands for itself.
pub(crate) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match hexadecimal(text, at) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn hexadecimal(text: &[u8], at: usize) -> Option<u8> {
    let digits = text.get(at..at + 3)?.strip_prefix(b"%")?;
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    plain.then(|| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
}

/// Whether `part` stands anywhere in `whole`.
pub(crate) fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
