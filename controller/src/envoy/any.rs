//! Small wrappers around protobuf: packing, wrapper types, and what the whole configuration repeats.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};
use prost::{Message, Name};

/// Packs one message. Its maps must have at most one entry: prost writes larger ones in random order ([`merged`]).
pub(super) fn pack<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Packs a message whose maps have many entries, in the order given.
///
/// Concatenated protobuf messages merge when they are read, so a map can be written one entry at a time. That makes
/// equal plans equal bytes, which the versions of resources are made from.
pub(super) fn merged<M: Message + Name>(base: &M, entries: impl IntoIterator<Item = M>) -> Any {
    let mut value = base.encode_to_vec();
    for entry in entries {
        value.extend_from_slice(&entry.encode_to_vec());
    }
    Any { type_url: M::type_url(), value }
}

#[expect(clippy::unnecessary_wraps, reason = "message fields are optional")]
pub(super) fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

#[expect(clippy::unnecessary_wraps, reason = "message fields are optional")]
pub(super) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

/// A duration; what is longer than `i64` seconds is cut to that.
#[expect(clippy::unnecessary_wraps, reason = "message fields are optional")]
pub(super) fn duration(value: std::time::Duration) -> Option<Duration> {
    let seconds = i64::try_from(value.as_secs()).unwrap_or(i64::MAX);
    // Below a thousand million, so it always fits.
    let nanos = i32::try_from(value.subsec_nanos()).unwrap_or_default();
    Some(Duration { seconds, nanos })
}

pub(super) fn seconds(value: u64) -> Option<Duration> {
    duration(std::time::Duration::from_secs(value))
}

pub(super) fn extension(name: &str, config: Any) -> core::TypedExtensionConfig {
    core::TypedExtensionConfig { name: name.to_owned(), typed_config: Some(config) }
}

pub(super) fn inline(text: impl Into<String>) -> core::DataSource {
    core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(text.into())),
        watched_directory: None,
    }
}

/// Text with `%…%` operators that Envoy fills in.
pub(super) fn format(text: &str) -> core::SubstitutionFormatString {
    core::SubstitutionFormatString {
        format: Some(core::substitution_format_string::Format::TextFormatSource(inline(text))),
        ..Default::default()
    }
}

/// "Over the one aggregated stream." Without a limit on the first fetch: whoever waits for this keeps waiting, and
/// never starts without it.
pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        initial_fetch_timeout: seconds(0),
        resource_api_version: core::ApiVersion::V3 as i32,
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..Default::default()
    }
}

pub(super) fn socket_address(address: SocketAddr) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: address.ip().to_string(),
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(address.port().into())),
            ..Default::default()
        })),
    }
}

pub(super) fn internal_address(listener: &str) -> core::Address {
    core::Address {
        address: Some(core::address::Address::EnvoyInternalAddress(core::EnvoyInternalAddress {
            address_name_specifier: Some(
                core::envoy_internal_address::AddressNameSpecifier::ServerListenerName(listener.to_owned()),
            ),
            ..Default::default()
        })),
    }
}

pub(super) fn regex(pattern: &str) -> matcher::StringMatcher {
    matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::SafeRegex(matcher::RegexMatcher {
            regex: pattern.to_owned(),
            ..Default::default()
        })),
        ignore_case: false,
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::google::protobuf::{Struct, Value};

    use super::*;

    #[test]
    fn a_map_written_entry_by_entry_reads_as_one_map() {
        let entry = |name: &str| Struct { fields: [(name.to_owned(), Value::default())].into() };
        let packed = merged(&Struct::default(), ["a", "b", "c"].map(entry));
        let read = Struct::decode(packed.value.as_slice()).unwrap();
        let mut names: Vec<_> = read.fields.into_keys().collect();
        names.sort();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn durations_keep_their_fractions() {
        let packed = duration(std::time::Duration::from_millis(1500)).unwrap();
        assert_eq!((packed.seconds, packed.nanos), (1, 500_000_000));
    }
}
