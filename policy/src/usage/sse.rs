//! Server-sent events that arrive in pieces: which bytes are data, and where an event ends.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>

/// The field that is of interest, with what ends its name.
const DATA: &[u8] = b"data:";

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Data of the event that is under way.
    Data(&'a [u8]),
    /// The event is over.
    End,
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// So many bytes of [`DATA`] were read.
    Name(usize),
    /// Behind the colon, where one space is no part of the value.
    Colon,
    /// In the value of `data`.
    Value,
    /// In another field, or a comment.
    Other,
}

/// Follows a stream of events.
pub(super) struct Events {
    at: At,
    after_return: bool,
    lines: usize,
}

impl Default for Events {
    fn default() -> Self {
        Events { at: At::Name(0), after_return: false, lines: 0 }
    }
}

impl Events {
    /// Takes a piece of the stream.
    pub(super) fn feed<E>(
        &mut self,
        mut piece: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((first, rest)) = piece.split_first() {
            let is_second_of_pair = std::mem::take(&mut self.after_return) && *first == b'\n';
            if is_second_of_pair {
                piece = rest;
            } else if matches!(first, b'\n' | b'\r') {
                self.after_return = *first == b'\r';
                self.end_line(take)?;
                piece = rest;
            } else {
                let length =
                    piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(piece.len());
                let (line, after) = piece.split_at(length);
                self.in_line(line, take)?;
                piece = after;
            }
        }
        Ok(())
    }

    /// Whether the stream stands where an event has begun and not ended.
    pub(super) fn are_under_way(&self) -> bool {
        self.lines > 0 || matches!(self.at, At::Name(1..))
    }

    fn end_line<E>(&mut self, take: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        let is_empty = self.at == At::Name(0);
        self.at = At::Name(0);
        if is_empty && std::mem::take(&mut self.lines) > 0 { take(Part::End) } else { Ok(()) }
    }

    fn in_line<E>(
        &mut self,
        mut line: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((first, rest)) = line.split_first() {
            match self.at {
                At::Name(read) if DATA.get(read) == Some(first) => {
                    self.at = if read + 1 == DATA.len() { At::Colon } else { At::Name(read + 1) };
                    line = rest;
                    if self.at == At::Colon {
                        self.lines += 1;
                        // Lines of one event are joined by a line feed.
                        if self.lines > 1 {
                            take(Part::Data(b"\n"))?;
                        }
                    }
                }
                At::Colon if *first == b' ' => (self.at, line) = (At::Value, rest),
                At::Colon | At::Value => {
                    self.at = At::Value;
                    return take(Part::Data(line));
                }
                At::Name(_) | At::Other => {
                    self.at = At::Other;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut under_way) = (Vec::new(), Vec::new());
        let mut stream = Events::default();
        for piece in pieces {
            let taken: Result<(), ()> = stream.feed(piece, &mut |part| {
                match part {
                    Part::Data(bytes) => under_way.extend_from_slice(bytes),
                    Part::End => events.push(String::from_utf8(std::mem::take(&mut under_way)).unwrap()),
                }
                Ok(())
            });
            taken.unwrap();
        }
        events
    }

    #[test]
    fn data_is_found_whatever_ends_a_line_and_wherever_a_piece_ends() {
        for (text, expected) in [
            ("data: a\n\ndata: b\n\n", &["a", "b"][..]),
            ("event: x\ndata:a\r\n\r\ndata:  b\r\r", &["a", " b"]),
            (": comment\n\ndata: a\ndata: b\n\n", &["a\nb"]),
            ("data\ndatax: c\nda: d\ndata: a: b\n\n", &["a: b"]),
            ("data: a\n", &[]),
            ("data:\n\n", &[""]),
            ("\n\n\n", &[]),
            ("data: \u{1f600}\n\n", &["\u{1f600}"]),
        ] {
            assert_eq!(events(&[text.as_bytes()]), expected, "{text:?}");
            for at in 0..text.len() {
                let (before, after) = text.as_bytes().split_at(at);
                assert_eq!(events(&[before, after]), expected, "{text:?} at {at}");
            }
            let each: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(events(&each), expected, "{text:?} by bytes");
        }
    }
}
