//! `NO_PROXY`: what the user wrote, less whatever would lead a client past the gateway to a host that gets a key.
//!
//! Clients read the variable in many ways, so an entry goes where any of them could take it for such a host: as that
//! name, as a suffix with or without a dot, with a star, with a port. Addresses and networks stay: no credentialed host
//! is one.

use std::net::IpAddr;

use policy::host::HostPattern;

/// What is reached directly whatever the user wrote: servers of one's own.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The list for the command.
pub(super) struct NoProxy {
    /// Its entries.
    pub(super) entries: Vec<String>,
    /// The entries of the user's that are left out.
    pub(super) dropped: Vec<String>,
}

impl NoProxy {
    /// From the user's lists, which are separated by commas or spaces.
    pub(super) fn new<'a>(lists: impl IntoIterator<Item = &'a str>, hosts: &[HostPattern]) -> NoProxy {
        let mut entries: Vec<String> = LOCAL.iter().map(ToString::to_string).collect();
        let mut dropped = Vec::new();
        for word in lists.into_iter().flat_map(words) {
            let to = if hosts.iter().any(|host| may_match(word, host)) { &mut dropped } else { &mut entries };
            if !to.iter().any(|entry| entry == word) {
                to.push(word.to_owned());
            }
        }
        NoProxy { entries, dropped }
    }

    /// As the variable has it.
    pub(super) fn text(&self) -> String {
        self.entries.join(",")
    }

    /// As Java has it: names separated by `|`, where `*` stands for any start. Networks have no form there.
    pub(super) fn for_java(&self) -> String {
        let own = ["127.*".to_owned(), "[::1]".to_owned()];
        let entries = self.entries.iter().filter(|entry| !entry.contains(['/', ':', '|', '"', '\\']));
        let forms = entries.flat_map(|entry| {
            let name = entry.trim_start_matches('*').trim_start_matches('.');
            let inside = entry.parse::<IpAddr>().is_err() && name != LOCAL[0];
            [Some(name.to_owned()), inside.then(|| format!("*.{name}"))]
        });
        forms.flatten().filter(|form| !form.is_empty()).chain(own).collect::<Vec<_>>().join("|")
    }
}

/// The entries of a list.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// Whether a list names a host, as some client may read it.
pub(super) fn names(list: &str, host: &HostPattern) -> bool {
    words(list).any(|word| may_match(word, host))
}

/// Whether some client could take this entry for a host that the pattern names.
fn may_match(entry: &str, host: &HostPattern) -> bool {
    let entry = entry.to_ascii_lowercase();
    let entry = entry.split_once("://").map_or(entry.as_str(), |(_, rest)| rest);
    if is_address(entry) {
        return false;
    }
    let name = entry.split_once(':').map_or(entry, |(name, _)| name).trim_end_matches('.');
    // Nothing but dots and stars may be taken for everything.
    if name.chars().all(|letter| letter == '*' || letter == '.') {
        return true;
    }
    let name = name.strip_prefix("*.").unwrap_or(name).trim_start_matches('.');
    let (mut entry, mut host) = (name.rsplit('.'), host.as_str().rsplit('.'));
    // From the right: every label of the entry has one of the host that it may be.
    entry.all(|label| host.next().is_some_and(|other| labels_meet(label, other)))
}

fn is_address(entry: &str) -> bool {
    let address = entry.split_once('/').map_or(entry, |(address, _)| address);
    let bare = address.trim_start_matches('[').split(']').next().unwrap_or(address);
    let of_port = address.split_once(':').map_or(address, |(address, _)| address);
    [address, bare, of_port].iter().any(|text| text.parse::<IpAddr>().is_ok())
}

/// Whether one label can be both; a star stands for any letters.
fn labels_meet(a: &str, b: &str) -> bool {
    match (a.split_once('*'), b.split_once('*')) {
        (None, None) => a == b,
        (Some((start, end)), None) => b.starts_with(start) && b.ends_with(end.trim_matches('*')),
        (None, Some((start, end))) => a.starts_with(start) && a.ends_with(end),
        (Some(_), Some(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<HostPattern> {
        names.iter().map(|name| HostPattern::parse(name).expect("a pattern")).collect()
    }

    #[test]
    fn an_entry_goes_where_it_could_be_a_credentialed_host() {
        let hosts = hosts(&["api.anthropic.com", "bedrock-runtime.*.amazonaws.com", "*.openai.azure.com"]);
        for entry in [
            "*",
            "*.*",
            ".",
            "api.anthropic.com",
            "API.Anthropic.com.",
            "anthropic.com",
            ".anthropic.com",
            "*.anthropic.com",
            "*anthropic.com",
            "*thropic.com",
            "api.anthropic.com:443",
            ".com",
            "com",
            "https://api.anthropic.com",
            "us-east-1.amazonaws.com",
            "amazonaws.com",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "contoso.openai.azure.com",
            "azure.com",
        ] {
            let list = NoProxy::new([entry], &hosts);
            assert_eq!((list.text().as_str(), list.dropped.len()), ("localhost,127.0.0.1,::1", 1), "{entry}");
        }
    }

    #[test]
    fn other_entries_stay_in_order_and_once() {
        let hosts = hosts(&["api.anthropic.com", "*.openai.azure.com"]);
        let list = "corp.example, .internal,10.0.0.0/8 10.1.2.3:8080 fd00::/8,[::1]:3000,other.com,thropic.com,localhost,\
                    docs.anthropic.com,api.anthropic.com.evil.test,sub.api.anthropic.com";
        let list = NoProxy::new([list, "corp.example"], &hosts);
        assert_eq!(
            list.text(),
            "localhost,127.0.0.1,::1,corp.example,.internal,10.0.0.0/8,10.1.2.3:8080,fd00::/8,[::1]:3000,other.com,\
             thropic.com,docs.anthropic.com,api.anthropic.com.evil.test,sub.api.anthropic.com"
        );
        assert!(list.dropped.is_empty());
    }

    #[test]
    fn java_gets_names_with_stars() {
        let list = NoProxy::new([".internal,10.0.0.0/8,corp.example,10.1.2.3"], &[]);
        assert_eq!(
            list.for_java(),
            "localhost|127.0.0.1|internal|*.internal|corp.example|*.corp.example|10.1.2.3|127.*|[::1]"
        );
    }
}
