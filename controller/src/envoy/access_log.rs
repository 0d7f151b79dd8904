//! Envoy's access log: one JSON object a line on standard output. It is the audit record: refused CONNECTs, failed
//! handshakes and untouched connections never reach the filter.
//!
//! Each line has `log`, which says what it is about, and the fields below. Absent values are `null`. Nothing here
//! prints a header that can hold a credential, nor a query.
//!
//! | `log` | one line for each | fields besides |
//! |---|---|---|
//! | `proxy` | request to the proxy port: CONNECT when its tunnel ends, plain HTTP when answered | [`HTTP`] |
//! | `request` | intercepted request | [`HTTP`], `sni`, `target`, `record` (the filter's own record, JSON in a string) |
//! | `handshake` | connection to the interception chain whose TLS failed | [`CONNECTION`] |
//! | `tunnel` | connection that crossed the inspector behind CONNECT | [`CONNECTION`] |
//! | `transparent` | connection to the transparent port | [`CONNECTION`] |

use envoy_types::pb::envoy::config::accesslog::v3 as accesslog;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::{StdoutAccessLog, stdout_access_log};
use envoy_types::pb::google::protobuf::{Struct, Value, value};

use super::any::{merged, pack};
use super::names;

/// A field and the operators that Envoy fills it with.
type Field = (&'static str, &'static str);

/// What every line has.
const COMMON: [Field; 5] = [
    ("start", "%START_TIME%"),
    ("duration_ms", "%DURATION%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("upstream", "%UPSTREAM_HOST%"),
    ("upstream_failure", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

/// What lines about a request have.
const HTTP: [Field; 9] = [
    ("method", "%REQ(:METHOD)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("path", "%PATH(NQ)%"),
    ("protocol", "%PROTOCOL%"),
    ("status", "%RESPONSE_CODE%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("reason", "%RESP(x-keyward-reason)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
];

/// What lines about a connection have.
const CONNECTION: [Field; 9] = [
    ("sni", "%REQUESTED_SERVER_NAME%"),
    ("target", "%FILTER_STATE(keyward.target:PLAIN)%"),
    ("peer", "%FILTER_STATE(keyward.peer:PLAIN)%"),
    ("chain", "%FILTER_CHAIN_NAME%"),
    ("tls_failure", "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("termination", "%CONNECTION_TERMINATION_DETAILS%"),
    ("closed", "%DOWNSTREAM_LOCAL_CLOSE_REASON%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
];

const PEER_IS_DOWNSTREAM: [Field; 1] = [("peer", "%DOWNSTREAM_REMOTE_ADDRESS%")];

const INTERCEPTED: [Field; 4] = [
    ("peer", "%FILTER_STATE(keyward.peer:PLAIN)%"),
    ("sni", "%REQUESTED_SERVER_NAME%"),
    ("target", "%FILTER_STATE(keyward.target:PLAIN)%"),
    ("record", "%FILTER_STATE(wasm.keyward:PLAIN)%"),
];

/// Requests to the proxy port.
pub(super) fn proxy() -> accesslog::AccessLog {
    log("proxy", &[&COMMON, &HTTP, &PEER_IS_DOWNSTREAM])
}

/// Intercepted requests.
pub(super) fn request() -> accesslog::AccessLog {
    log("request", &[&COMMON, &HTTP, &INTERCEPTED])
}

/// Failed handshakes of the interception chain.
pub(super) fn handshake() -> accesslog::AccessLog {
    let failed = ExpressionFilter {
        expression: format!("!('{}' in filter_state)", names::ESTABLISHED),
        ..Default::default()
    };
    let filter = accesslog::access_log_filter::FilterSpecifier::ExtensionFilter(accesslog::ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".to_owned(),
        config_type: Some(accesslog::extension_filter::ConfigType::TypedConfig(pack(&failed))),
    });
    accesslog::AccessLog {
        filter: Some(accesslog::AccessLogFilter { filter_specifier: Some(filter) }),
        ..log("handshake", &[&COMMON, &CONNECTION])
    }
}

/// Connections through the inspector behind CONNECT.
pub(super) fn tunnel() -> accesslog::AccessLog {
    log("tunnel", &[&COMMON, &CONNECTION])
}

/// Connections to the transparent port.
pub(super) fn transparent() -> accesslog::AccessLog {
    log("transparent", &[&COMMON, &CONNECTION])
}

fn log(kind: &'static str, fields: &[&[Field]]) -> accesslog::AccessLog {
    let kind = [("log", kind)];
    let fields = kind.iter().chain(fields.iter().copied().flatten());
    accesslog::AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(accesslog::access_log::ConfigType::TypedConfig(merged(
            &StdoutAccessLog::default(),
            fields.map(|field| with_field(*field)),
        ))),
        filter: None,
    }
}

fn with_field((name, operators): Field) -> StdoutAccessLog {
    let text = Value { kind: Some(value::Kind::StringValue(operators.to_owned())) };
    let format = core::SubstitutionFormatString {
        format: Some(core::substitution_format_string::Format::JsonFormat(Struct {
            fields: [(name.to_owned(), text)].into(),
        })),
        ..Default::default()
    };
    StdoutAccessLog { access_log_format: Some(stdout_access_log::AccessLogFormat::LogFormat(format)) }
}
