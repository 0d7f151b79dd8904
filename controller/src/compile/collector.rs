//! `spec.otlp`: the collector that a gateway's requests are told to, and what it is sent.

use std::collections::BTreeMap;

use hyper::Uri;
use policy::api::egress_gateway::{Otlp, Spec};
use policy::host::HostPattern;
use policy::rules::is_settable_header;
use policy::seal::{Binding, Keyring};
use policy::secret::Secret;
use policy::wire::{self, Capture, CollectorHeader, Telemetry};

use super::verdict::Refusal;
use crate::envoy::names;
use crate::inputs::Inputs;
use crate::inspector;
use crate::plan::{Collector, ObjectKey, ProxyHost};

/// What OTLP/HTTP appends to an endpoint without a path.
/// <https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp>
const TRACES: &str = "/v1/traces";

/// Bytes of a body that a span shows, at most and where the spec says nothing: two of them, in base64, leave room for
/// the rest of a span of [`policy::outbox::LARGEST`].
pub(super) const MOST_SHOWN: u32 = 65_536;

/// Media types of bodies that are shown where the spec names none.
const SHOWN: [&str; 3] = ["application/json", "application/x-ndjson", "text/event-stream"];

/// Headers of ours, which no other may replace.
const OURS: [&str; 2] = ["content-encoding", "content-type"];

/// Values of headers by their lower-case names.
pub(super) type Headers = BTreeMap<String, Secret>;

/// Where the collector is.
pub(super) fn at(spec: &Spec) -> Result<Option<Collector>, String> {
    let Some(endpoint) = spec.otlp.as_ref().and_then(|otlp| otlp.endpoint.as_deref()) else {
        return Ok(None);
    };
    let fault =
        "spec.otlp.endpoint: write the URL of an OTLP/HTTP receiver, such as http://otel-collector:4318";
    let uri: Uri = endpoint.parse().map_err(|_| fault)?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(fault.to_owned()),
    };
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(fault)?;
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let host = match host.parse() {
        Ok(address) => ProxyHost::Address(address),
        Err(_) if HostPattern::parse(&host).is_ok_and(|host| host.exact().is_some()) => ProxyHost::Name(host),
        Err(_) => return Err(fault.to_owned()),
    };
    let path = match uri.path_and_query().map(|path| path.as_str()) {
        None | Some("" | "/") => TRACES,
        Some(path) => path,
    };
    Ok(Some(Collector { tls, host, port, authority: authority.to_string(), path: path.to_owned() }))
}

/// What it is shown of bodies.
fn capture(otlp: &Otlp) -> Option<Capture> {
    let capture = otlp.capture_body.as_ref().filter(|capture| capture.enabled != Some(false))?;
    let max_bytes = capture.max_bytes.map_or(MOST_SHOWN, |most| most.try_into().unwrap_or(MOST_SHOWN));
    let given = &capture.include_content_types;
    let content_types = if given.is_empty() {
        SHOWN.map(str::to_owned).into()
    } else {
        given.iter().map(|kind| kind.trim().to_ascii_lowercase()).collect()
    };
    Some(Capture { max_bytes: max_bytes.min(MOST_SHOWN), content_types }).filter(|_| max_bytes > 0)
}

/// What is sent to it besides: the spec's headers, and over them those of the Secret.
pub(super) fn headers(gateway: &ObjectKey, spec: &Spec, inputs: &Inputs) -> Result<Headers, Refusal> {
    let Some(otlp) = &spec.otlp else { return Ok(Headers::new()) };
    let invalid = |why: String| Refusal::new("InvalidSpec", why);
    let mut headers = Headers::new();
    for (name, text) in &otlp.headers {
        // Exposed to be sealed.
        let (name, value) = header("spec.otlp.headers", name, text.expose().as_bytes()).map_err(invalid)?;
        headers.insert(name, value);
    }
    headers.extend(of_secret(gateway, otlp, inputs)?);
    Ok(headers)
}

fn of_secret(gateway: &ObjectKey, otlp: &Otlp, inputs: &Inputs) -> Result<Headers, Refusal> {
    let Some(reference) = &otlp.headers_secret_ref else { return Ok(Headers::new()) };
    let field = "spec.otlp.headersSecretRef";
    if reference.namespace.as_ref().is_some_and(|namespace| *namespace != gateway.namespace) {
        let message = format!("{field}: a Secret of another namespace may not be named");
        return Err(Refusal::new("RefNotPermitted", message));
    }
    let key = ObjectKey { namespace: gateway.namespace.clone(), name: reference.name.clone() };
    let Some(values) = inputs.secrets.get(&key) else {
        return Err(Refusal::new("SecretNotFound", format!("{field}: there is no Secret {key}")));
    };
    let invalid = |why: String| Refusal::new("InvalidSecret", why);
    let place = format!("{field}: Secret {key}");
    let one = |(name, value): (&String, &policy::api::SecretValue)| {
        let bytes = value.expose().ok_or_else(|| format!("{place}: the value of {name} is not base64"))?;
        header(&place, name, bytes)
    };
    values.iter().map(|value| one(value).map_err(invalid)).collect()
}

/// A header for a collector with its value, if it is one that can be sent.
///
/// # Errors
/// What is wrong with it and what to do, at this place; never the value.
pub(crate) fn header(place: &str, name: &str, value: &[u8]) -> Result<(String, Secret), String> {
    let lower = name.to_ascii_lowercase();
    if !is_settable_header(&lower) || OURS.contains(&lower.as_str()) {
        return Err(format!("{place}: {name} is no header that can be set; take it out"));
    }
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Err(format!("{place}: the value of {name} must be printable ASCII, and not empty"));
    }
    Ok((lower, Secret::new(value.to_vec())))
}

/// What the filter is told of the collector. A header that cannot be sealed is left out with all of it: a collector
/// that wants a token refuses what comes without.
pub(super) fn collector(
    gateway: &ObjectKey,
    collector: &Collector,
    headers: &Headers,
    keyring: &Keyring,
) -> Option<wire::Collector> {
    let mut told = wire::Collector {
        cluster: names::COLLECTOR.to_owned(),
        authority: collector.authority.clone(),
        path: collector.path.clone(),
        headers: Vec::new(),
    };
    let seal = |(name, value): (&String, &Secret)| {
        let binding = Binding::of_collector(&gateway.to_string(), &told, name);
        Some(CollectorHeader { name: name.clone(), sealed: keyring.seal(&binding, value).ok()? })
    };
    let sealed = headers.iter().map(seal).collect::<Option<Vec<_>>>()?;
    told.headers = sealed;
    Some(told)
}

/// What it is told of the inspector.
pub(super) fn inspector() -> wire::Collector {
    wire::Collector {
        cluster: names::INSPECTOR.to_owned(),
        authority: names::INSPECTOR.to_owned(),
        path: inspector::PATH.to_owned(),
        headers: Vec::new(),
    }
}

/// What it is told in all. Where nobody listens that is nothing, or to read what requests cost; bodies are shown to nobody.
pub(super) fn telemetry(
    spec: &Spec,
    collectors: Vec<wire::Collector>,
    reads_usage: bool,
) -> Option<Telemetry> {
    let capture = spec.otlp.as_ref().filter(|_| !collectors.is_empty()).and_then(capture);
    (reads_usage || !collectors.is_empty()).then_some(Telemetry { collectors, capture })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(endpoint: &str) -> Result<Collector, String> {
        let spec = serde_json::json!({"listeners": [], "otlp": {"endpoint": endpoint}});
        at(&serde_json::from_value(spec).unwrap()).map(|collector| collector.expect("one"))
    }

    #[test]
    fn an_endpoint_is_a_url_and_without_a_path_it_has_that_of_traces() {
        let name = |name: &str| ProxyHost::Name(name.to_owned());
        for (endpoint, tls, host, port, path) in [
            ("http://otel:4318", false, name("otel"), 4318, "/v1/traces"),
            ("http://otel:4318/", false, name("otel"), 4318, "/v1/traces"),
            ("https://OTEL.example", true, name("otel.example"), 443, "/v1/traces"),
            (
                "https://otel.example/otlp/v1/traces?k=1",
                true,
                name("otel.example"),
                443,
                "/otlp/v1/traces?k=1",
            ),
            ("http://127.0.0.1", false, ProxyHost::Address([127, 0, 0, 1].into()), 80, "/v1/traces"),
            ("http://[::1]:4318", false, ProxyHost::Address("::1".parse().unwrap()), 4318, "/v1/traces"),
        ] {
            let collector = found(endpoint).expect(endpoint);
            assert_eq!((collector.tls, &collector.host, collector.port), (tls, &host, port), "{endpoint}");
            assert_eq!(collector.path, path, "{endpoint}");
        }
        for wrong in [
            "",
            "otel:4318",
            "grpc://otel:4317",
            "http://",
            "http://user:s3cret@otel",
            "/v1/traces",
            "http://a*b",
        ] {
            let said = found(wrong).expect_err(wrong);
            assert!(said.starts_with("spec.otlp.endpoint") && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn without_a_collector_usage_is_read_where_it_is_asked_for_and_no_body_is_shown() {
        let spec = serde_json::json!({"listeners": [], "otlp": {"captureBody": {}}});
        let spec: Spec = serde_json::from_value(spec).unwrap();
        assert_eq!(telemetry(&spec, Vec::new(), false), None);
        let reading = Telemetry { collectors: Vec::new(), capture: None };
        assert_eq!(telemetry(&spec, Vec::new(), true), Some(reading));
        let told = telemetry(&spec, vec![inspector()], false).expect("telemetry");
        assert!(told.collectors.len() == 1 && told.capture.is_some());
    }

    #[test]
    fn only_headers_that_can_be_sent_are_taken() {
        let name = |name: &str| header("place", name, b"Bearer x").map(|(name, _)| name);
        assert_eq!(name("Authorization").as_deref(), Ok("authorization"));
        for wrong in
            ["", "a b", ":path", "host", "content-length", "content-type", "Content-Encoding", "connection"]
        {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        for wrong in [&b""[..], b" ", b"a\nb", b"\xff"] {
            let said = header("place", "x-token", wrong).err().expect("refused");
            assert!(said.contains("x-token") && said.starts_with("place"), "{said}");
        }
    }

    #[test]
    fn bodies_are_shown_as_far_as_the_spec_says() {
        let shown = |capture: serde_json::Value| {
            let otlp = serde_json::json!({"endpoint": "http://otel", "captureBody": capture});
            super::capture(&serde_json::from_value(otlp).unwrap())
        };
        let types = |types: &[&str]| types.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        let usual = types(&["application/json", "application/x-ndjson", "text/event-stream"]);
        let capture = |max_bytes, content_types: &Vec<String>| {
            Some(Capture { max_bytes, content_types: content_types.clone() })
        };
        for (spec, expected) in [
            (serde_json::json!({}), capture(65_536, &usual)),
            (serde_json::json!({"maxBytes": 10}), capture(10, &usual)),
            (serde_json::json!({"maxBytes": 65_537}), capture(65_536, &usual)),
            (serde_json::json!({"maxBytes": u64::MAX}), capture(65_536, &usual)),
            (serde_json::json!({"maxBytes": 0}), None),
            (serde_json::json!({"enabled": true}), capture(65_536, &usual)),
            (serde_json::json!({"enabled": false}), None),
            (
                serde_json::json!({"includeContentTypes": ["Text/HTML "]}),
                capture(65_536, &types(&["text/html"])),
            ),
            (serde_json::Value::Null, None),
        ] {
            assert_eq!(shown(spec.clone()), expected, "{spec}");
        }
    }
}
