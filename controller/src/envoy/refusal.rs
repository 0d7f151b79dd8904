//! What an agent is told when Envoy itself refuses: a status, a coarse reason in a header, and a JSON body of the
//! form that provider SDKs show, with where to read on. The same form as the filter's own refusals.

use envoy_types::pb::envoy::config::accesslog::v3 as accesslog;
use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3::DirectResponseAction;
use envoy_types::pb::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use policy::denial::Coarse;

use super::any::{inline, number, pack};
use crate::plan::DenyResponse;

/// A refusal by Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The gateway's policy does not allow the host or its port.
    DeniedByPolicy,
    /// A request in the clear where a credential would be expected.
    Cleartext,
    /// An authority that is none.
    BadAuthority,
    /// The filter is missing or its configuration was never accepted.
    Unavailable,
    /// The upstream cannot be reached, or is not who it should be.
    Upstream,
    /// The upstream, or the agent, was silent or slow for too long.
    Silence,
    /// A limit was reached.
    Overloaded,
}

/// Which of Envoy's own answers mean what, by response flag. What is not HTTP at all is answered by the codec, which
/// no mapping reaches: a bare 400 or 431.
const FLAGS: [(&[&str], Refusal); 4] = [
    (&["NFCF"], Refusal::Unavailable),
    (&["DF", "LH", "LR", "NC", "UC", "UF", "UH", "UPE", "UR", "URX"], Refusal::Upstream),
    (&["SI", "UT"], Refusal::Silence),
    (&["OM", "RL", "UO"], Refusal::Overloaded),
];

impl Refusal {
    /// The status; `None` keeps the one that Envoy chose.
    fn status(self) -> Option<u32> {
        match self {
            Refusal::DeniedByPolicy | Refusal::Cleartext => Some(403),
            Refusal::BadAuthority => Some(400),
            Refusal::Unavailable | Refusal::Upstream | Refusal::Overloaded => Some(503),
            Refusal::Silence => None,
        }
    }

    fn reason(self) -> Coarse {
        match self {
            Refusal::DeniedByPolicy => Coarse::DeniedByPolicy,
            Refusal::Cleartext => Coarse::Cleartext,
            Refusal::BadAuthority => Coarse::Misdirected,
            Refusal::Unavailable => Coarse::CredentialUnavailable,
            Refusal::Upstream | Refusal::Silence => Coarse::UpstreamRefused,
            Refusal::Overloaded => Coarse::Overloaded,
        }
    }

    fn teaching(self) -> &'static str {
        match self {
            Refusal::DeniedByPolicy => "the gateway does not allow this destination.",
            Refusal::Cleartext => "this host is reached with https:// only.",
            Refusal::BadAuthority => "the host in this request is not a valid name or address.",
            Refusal::Unavailable => "the gateway has no configuration for this host yet.",
            Refusal::Upstream => "the gateway could not reach this host, or could not verify it.",
            Refusal::Silence => "no bytes passed for too long.",
            Refusal::Overloaded => "the gateway has reached a limit.",
        }
    }

    /// Whether asking again would change nothing.
    fn is_final(self) -> bool {
        matches!(self, Refusal::DeniedByPolicy | Refusal::Cleartext | Refusal::BadAuthority)
    }

    fn body(self) -> core::DataSource {
        inline(self.reason().body_teaching(self.teaching()))
    }

    /// The answer of a route that the operator worded.
    pub(super) fn worded(response: &DenyResponse) -> DirectResponseAction {
        let refusal = Refusal::DeniedByPolicy;
        let body = response.message.as_ref().map_or_else(
            || refusal.body(),
            |message| {
                let error = serde_json::json!({"type": refusal.reason().as_str(), "message": message});
                inline(serde_json::json!({ "error": error }).to_string())
            },
        );
        DirectResponseAction { status: response.status.into(), body: Some(body), ..Default::default() }
    }

    /// The answer of a route.
    pub(super) fn direct_response(self) -> DirectResponseAction {
        DirectResponseAction {
            status: self.status().unwrap_or(503),
            body: Some(self.body()),
            ..Default::default()
        }
    }

    /// The headers of the answer.
    pub(super) fn headers(self) -> Vec<core::HeaderValueOption> {
        let mut headers = vec![
            header("content-type", "application/json"),
            header("x-keyward-reason", self.reason().as_str()),
        ];
        if self.is_final() {
            headers.push(header("x-should-retry", "false"));
        }
        headers
    }

    fn mapper(self, of: FilterSpecifier) -> hcm::ResponseMapper {
        hcm::ResponseMapper {
            filter: Some(accesslog::AccessLogFilter { filter_specifier: Some(of) }),
            status_code: self.status().and_then(number),
            body: Some(self.body()),
            headers_to_add: self.headers(),
            ..Default::default()
        }
    }
}

/// Which of Envoy's own answers carry no flag and mean what, by their details. Of RBAC there is only the guard in front
/// of upstreams.
const DETAILS: [(&str, Refusal); 2] = [
    ("response.code_details.startsWith('rbac_access_denied')", Refusal::Upstream),
    ("response.code_details == 'overload'", Refusal::Overloaded),
];

/// Rewrites Envoy's own answers. Those of the filter and of routes carry no flag and stay as they are.
pub(super) fn local_replies() -> hcm::LocalReplyConfig {
    let flagged = FLAGS.iter().map(|(flags, refusal)| refusal.mapper(flagged(flags)));
    // A request that came too slowly carries no flag.
    let slow = Refusal::Silence.mapper(with_status(408));
    let detailed = DETAILS.iter().map(|(expression, refusal)| refusal.mapper(saying(expression)));
    hcm::LocalReplyConfig { mappers: flagged.chain([slow]).chain(detailed).collect(), body_format: None }
}

fn flagged(flags: &[&str]) -> FilterSpecifier {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    FilterSpecifier::ResponseFlagFilter(accesslog::ResponseFlagFilter { flags })
}

fn saying(expression: &str) -> FilterSpecifier {
    let filter = ExpressionFilter { expression: expression.to_owned(), ..Default::default() };
    FilterSpecifier::ExtensionFilter(accesslog::ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".to_owned(),
        config_type: Some(accesslog::extension_filter::ConfigType::TypedConfig(pack(&filter))),
    })
}

fn with_status(status: u32) -> FilterSpecifier {
    let value = core::RuntimeUInt32 { default_value: status, runtime_key: "keyward.unset".to_owned() };
    let comparison =
        accesslog::ComparisonFilter { op: accesslog::comparison_filter::Op::Eq as i32, value: Some(value) };
    FilterSpecifier::StatusCodeFilter(accesslog::StatusCodeFilter { comparison: Some(comparison) })
}

fn header(name: &str, value: &str) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue {
            key: name.to_owned(),
            value: value.to_owned(),
            ..Default::default()
        }),
        append_action: core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Refusal; 7] = [
        Refusal::DeniedByPolicy,
        Refusal::Cleartext,
        Refusal::BadAuthority,
        Refusal::Unavailable,
        Refusal::Upstream,
        Refusal::Silence,
        Refusal::Overloaded,
    ];

    #[test]
    fn every_answer_says_why_and_where_to_read_on() {
        for refusal in ALL {
            let body = refusal.body();
            let Some(core::data_source::Specifier::InlineString(body)) = body.specifier else {
                panic!("{refusal:?}: {body:?}")
            };
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let (reason, message) = (refusal.reason().as_str(), body["error"]["message"].to_string());
            assert_eq!(body["error"]["type"], reason);
            let link = format!("See docs/reasons.md#{reason}.\"");
            assert!(message.starts_with("\"Keyward: ") && message.ends_with(&link), "{message}");
        }
    }
}
