//! HTTP/1.1 requests as they stood on the wire: header lines in order, spelling and number.
//!
//! The server library lower-cases names and groups equal ones, so the recorded bytes of a connection are read a second
//! time. A cursor walks over them: requests of one connection follow each other, and a request is looked at only once
//! the library has read it whole.

/// Header lines as they stood on the wire.
pub(super) type Lines = Vec<(String, String)>;

/// The header lines of the request at the start of `bytes`, and its length with its body.
/// None when the request is not whole, or its framing is not understood.
pub(super) fn request(bytes: &[u8]) -> Option<(Lines, usize)> {
    let skipped = bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let head_end = find(&bytes[skipped..], b"\r\n\r\n")? + skipped + 4;
    let head = String::from_utf8_lossy(&bytes[skipped..head_end - 4]);
    let lines: Lines = head.split("\r\n").skip(1).filter_map(line).collect();
    let body = body_length(&lines, &bytes[head_end..])?;
    Some((lines, head_end + body))
}

fn line(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    Some((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn body_length(lines: &Lines, body: &[u8]) -> Option<usize> {
    let value = |name: &str| lines.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
    if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return chunked_length(body);
    }
    match value("content-length") {
        Some(length) => length.parse().ok(),
        None => Some(0),
    }
}

/// Length of a chunked body with its trailers (RFC 9112, section 7.1).
fn chunked_length(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line_end = at + find(body.get(at..)?, b"\r\n")?;
        let size = std::str::from_utf8(&body[at..line_end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        at = line_end + 2;
        if size == 0 {
            return trailers_end(body, at);
        }
        at += size + 2;
    }
}

fn trailers_end(body: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = find(body.get(at..)?, b"\r\n")?;
        at += length + 2;
        if length == 0 {
            return Some(at);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::request;

    fn check(bytes: &str, names: &[&str], rest: &str) {
        let (lines, length) = request(bytes.as_bytes()).expect("a whole request");
        let seen: Vec<_> = lines.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(seen, names, "{bytes:?}");
        assert_eq!(&bytes[length..], rest, "{bytes:?}");
    }

    #[test]
    fn names_keep_their_spelling_order_and_number() {
        check("GET / HTTP/1.1\r\nX-Key: a\r\nhost: h\r\nx-key:b\r\n\r\n", &["X-Key", "host", "x-key"], "");
    }

    #[test]
    fn the_next_request_starts_where_a_body_ends() {
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET", &["Content-Length"], "GET");
        let chunked =
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\nGET";
        check(chunked, &["transfer-encoding"], "GET");
    }

    #[test]
    fn a_request_that_is_not_whole_is_not_read() {
        for bytes in
            ["GET / HTTP/1.1\r\nhost: h\r\n", "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab"]
        {
            assert!(request(bytes.as_bytes()).is_none(), "{bytes:?}");
        }
    }
}
