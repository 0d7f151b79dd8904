//! Canonical forms are fixed points: of authorities, host patterns, paths and queries.
//!
//! Input, by lines: an authority, a host pattern, a request target, names of parameters (comma-separated).

use policy::authority::{Authority, HTTP_PORT, name};
use policy::host::HostPattern;
use policy::path::canonical;
use policy::query::{REDACTED, redact, strip};

use crate::input::{contains, lines, percent_decoded};

/// Each line by itself, and the pattern against the authority's host.
pub fn holds(input: &[u8]) {
    let [authority, pattern, target, names] = lines(input);
    let authority = check_authority(authority);
    check_pattern(pattern, authority.as_ref());
    check_path(target);
    let names = String::from_utf8_lossy(names);
    let names: Vec<String> = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    check_query(target, &names);
}

fn check_authority(text: &[u8]) -> Option<Authority> {
    let authority = Authority::parse(text).ok()?;
    let printed = authority.to_string();
    assert_eq!(Authority::parse(printed.as_bytes()).as_ref(), Ok(&authority), "not a fixed point");
    assert_eq!(Authority::parse(&text.to_ascii_uppercase()).as_ref(), Ok(&authority), "the case matters");
    assert_eq!(name(authority.host.as_bytes()).as_deref(), Ok(authority.host.as_str()));
    assert!(
        authority.host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    );
    assert!(authority.host.parse::<std::net::Ipv4Addr>().is_err(), "an address");
    assert!(authority.port > 0);
    let cleartext = Authority::parse_or(text, HTTP_PORT).expect("the default port decides nothing else");
    assert_eq!(cleartext.host, authority.host);
    assert_eq!(cleartext.port == authority.port, text.contains(&b':'), "only a port that is absent differs");
    Some(authority)
}

fn check_pattern(text: &[u8], authority: Option<&Authority>) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(pattern) = HostPattern::parse(text) else { return };
    assert_eq!(pattern.as_str(), text);
    assert_eq!(pattern.exact().is_some(), !text.contains('*'));
    let sample = text.replace('*', "x");
    assert_eq!(name(sample.as_bytes()).as_deref(), Ok(sample.as_str()), "matches nothing that is a name");
    assert!(pattern.matches(&sample));
    let Some(host) = authority.map(|authority| authority.host.as_str()) else { return };
    assert_eq!(pattern.matches(host), labels_match(text, host));
    if pattern.matches(host) {
        let (domain, _) = pattern.envoy_domain();
        assert!(host.ends_with(domain.trim_start_matches('*')), "Envoy would not look at the pattern");
        let exact = HostPattern::parse(host).expect("a name is a pattern");
        assert!(pattern.specificity() <= exact.specificity());
    }
}

/// By length and position: as many labels, and in each the part before the star first and the part after it last.
fn labels_match(pattern: &str, host: &str) -> bool {
    let (patterns, labels): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    let matches = |(pattern, label): (&&str, &&str)| match pattern.find('*') {
        None => pattern == label,
        Some(star) => {
            let (before, after) = (&pattern[..star], &pattern[star + 1..]);
            label.len() >= pattern.len()
                && label[..star] == *before
                && label[label.len() - after.len()..] == *after
        }
    };
    patterns.len() == labels.len() && patterns.iter().zip(&labels).all(matches)
}

fn check_path(target: &[u8]) {
    let Ok(path) = canonical(target) else { return };
    assert!(target.starts_with(path.as_bytes()));
    assert!(matches!(target.get(path.len()), None | Some(b'?')));
    assert_eq!(canonical(path.as_bytes()), Ok(path), "not a fixed point");
    // A server that decodes, one that decodes twice, one that normalises: all of them see the same segments.
    let once = percent_decoded(path.as_bytes());
    let twice = percent_decoded(&once);
    for read in [path.as_bytes(), &once, &twice] {
        assert_eq!(read.iter().filter(|b| **b == b'/').count(), path.matches('/').count(), "another slash");
        assert!(!read.iter().any(|b| b.is_ascii_control() || b"\\;".contains(b)));
        let mut segments = read.split(|b| *b == b'/').skip(1);
        assert!(!segments.any(|segment| segment == b"." || segment == b".."), "a dot segment");
    }
    assert!(!contains(path.as_bytes(), b"//"));
    assert_eq!(once, twice, "two decodings differ");
}

fn check_query(target: &[u8], names: &[String]) {
    let is_named = |parameter: &[u8]| {
        let name = parameter.split(|b| *b == b'=').next().unwrap_or_default();
        let spaces: Vec<u8> = name.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        names.iter().any(|wanted| percent_decoded(&spaces).eq_ignore_ascii_case(wanted.as_bytes()))
    };
    let named = |name: &[u8]| names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()));
    let before = parameters(target);
    match strip(target, named) {
        None => assert!(!before.iter().any(|parameter| is_named(parameter)), "a credential stays"),
        Some(stripped) => {
            let after = parameters(&stripped.target);
            assert!(!after.iter().any(|parameter| is_named(parameter)), "a credential stays");
            // Names that only a lax server takes for one of these may have gone as well.
            let mut sent = before.iter();
            assert!(
                after.iter().all(|parameter| sent.any(|other| other == parameter)),
                "another one changed"
            );
            assert_eq!(strip(&stripped.target, named), None, "not a fixed point");
            assert!(stripped.target.starts_with(target.split(|b| *b == b'?').next().unwrap_or_default()));
        }
    }
    let Some(redacted) = redact(target, named) else { return };
    let again = [b"?", redacted.as_slice()].concat();
    assert_eq!(redact(&again, named), Some(redacted), "not a fixed point");
    for (shown, sent) in parameters(&again).iter().zip(&before) {
        let value = shown.iter().position(|b| *b == b'=').map(|equals| &shown[equals + 1..]);
        match value {
            Some(value) if is_named(shown) || value == REDACTED.as_bytes() => {
                assert_eq!(value, REDACTED.as_bytes());
            }
            _ => assert_eq!(shown, sent),
        }
    }
}

/// The parameters after the first `?`; none without one.
fn parameters(target: &[u8]) -> Vec<&[u8]> {
    match target.iter().position(|b| *b == b'?') {
        None => Vec::new(),
        Some(mark) => target[mark + 1..].split(|b| b"&;".contains(b)).collect(),
    }
}
