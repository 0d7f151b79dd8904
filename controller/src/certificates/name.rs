//! Which host names a certificate may be made for.

/// Whether this is a host name in the form that certificates are made for: lower-case letters, digits and hyphens
/// (RFC 1123, section 2.1), no address, no trailing dot.
pub(super) fn is_host_name(name: &str) -> bool {
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !numeric(last)
}

fn is_label(label: &str) -> bool {
    let letters = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_names_of_letters_digits_and_hyphens_pass() {
        let long = |labels: usize| vec!["a".repeat(63); labels].join(".");
        let good = ["a", "localhost", "api.anthropic.com", "xn--bcher-kva.example", "0.a-b.c1", "1.2.3.4a"];
        for name in good.map(str::to_owned).into_iter().chain([long(3)]) {
            assert!(is_host_name(&name), "{name}");
        }
        #[rustfmt::skip]
        let bad = [
            "", ".", "a.", ".a", "a..b", "A.com", "a_b.com", "-a.com", "a-.com", "*.a.com", "a b", "bücher.example",
            "1.2.3.4", "0x7f.1", "::1", "[::1]", "a/b", "a:443", "a.com\n",
        ];
        for name in bad.map(str::to_owned).into_iter().chain([long(4), "a".repeat(64)]) {
            assert!(!is_host_name(&name), "{name}");
        }
    }
}
