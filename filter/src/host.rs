//! The one file that calls the host. Bytes only: the SDK's `String` getters panic on what is not UTF-8.
//!
//! Everything returns a `Result`. Whoever gets an error on a request refuses it; nothing continues past one.
//! The SDK aborts the module on a status that Envoy 1.40 returns only for calls out of phase, such as a header call
//! after Continue; the callbacks in `stream.rs` make none.

use std::time::{Duration, UNIX_EPOCH};

use policy::denial::Denial;
use policy::header_map::HeaderMap;
use policy::secret::Secret;
use prost::Message;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, Status};
use zeroize::{Zeroize, Zeroizing};

/// The host refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// What the listener wrote about the connection; `None`: nothing.
pub(crate) fn connection() -> Result<Option<Vec<u8>>, Refused> {
    hostcalls::get_property(vec!["filter_state", "keyward.connection"]).map_err(|_| Refused)
}

/// The name of the upstream cluster that the request is routed to; `None`: no route.
pub(crate) fn cluster() -> Result<Option<Vec<u8>>, Refused> {
    hostcalls::get_property(vec!["xds", "cluster_name"]).map_err(|_| Refused)
}

#[expect(unsafe_code, reason = "an import is unsafe to call")]
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// A header map. Not by the SDK, which copies each name and each value, and panics on a name that is not UTF-8.
#[expect(unsafe_code, reason = "the host hands over memory, and this is who takes it")]
fn header_map(map: MapType) -> Result<HeaderMap, Refused> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host writes to these two places, which are ours until the call is over.
    let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    if status != Status::Ok as u32 {
        return Err(Refused);
    }
    if data.is_null() {
        return Ok(HeaderMap::default());
    }
    // SAFETY: the host has this memory from the SDK's `proxy_on_memory_allocate`, which forgets a boxed slice of this
    // size, and has filled it; nobody else knows of it.
    let bytes = unsafe { Vec::from_raw_parts(data, size, size) };
    HeaderMap::from_wire(bytes).ok_or(Refused)
}

/// The request's head. To be called while its headers are held, not after.
pub(crate) fn request_headers() -> Result<HeaderMap, Refused> {
    header_map(MapType::HttpRequestHeaders)
}

/// Leaves exactly one value of a request header.
pub(crate) fn set_request_header(name: &str, value: &[u8]) -> Result<(), Refused> {
    hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value)).map_err(|_| Refused)
}

/// Removes every value of a request header.
pub(crate) fn remove_request_header(name: &str) -> Result<(), Refused> {
    hostcalls::remove_map_value(MapType::HttpRequestHeaders, name).map_err(|_| Refused)
}

/// A part of the request's body, as far as Envoy holds it.
pub(crate) fn request_body(start: usize, length: usize) -> Result<Vec<u8>, Refused> {
    let part = hostcalls::get_buffer(BufferType::HttpRequestBody, start, length).map_err(|_| Refused)?;
    Ok(part.unwrap_or_default())
}

/// A part of the response's body, as far as Envoy holds it.
pub(crate) fn response_body(start: usize, length: usize) -> Result<Vec<u8>, Refused> {
    let part = hostcalls::get_buffer(BufferType::HttpResponseBody, start, length).map_err(|_| Refused)?;
    Ok(part.unwrap_or_default())
}

/// Puts these bytes in the place of what arrived of the response's body.
pub(crate) fn set_response_body(length: usize, bytes: &[u8]) -> Result<(), Refused> {
    hostcalls::set_buffer(BufferType::HttpResponseBody, 0, length, bytes).map_err(|_| Refused)
}

/// Bytes of the request's body, once it has ended; `None`: the host does not say.
pub(crate) fn request_size() -> Option<u64> {
    size(vec!["request", "size"])
}

/// Bytes of the response's.
pub(crate) fn response_size() -> Option<u64> {
    size(vec!["response", "size"])
}

fn size(property: Vec<&str>) -> Option<u64> {
    let bytes = hostcalls::get_property(property).ok().flatten()?;
    u64::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// The response's head. To be called while its headers are held, not after.
pub(crate) fn response_headers() -> Result<HeaderMap, Refused> {
    header_map(MapType::HttpResponseHeaders)
}

/// Leaves exactly one value of a response header.
pub(crate) fn set_response_header(name: &str, value: &[u8]) -> Result<(), Refused> {
    hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, Some(value)).map_err(|_| Refused)
}

/// Adds one more value of a response header.
pub(crate) fn add_response_header(name: &str, value: &[u8]) -> Result<(), Refused> {
    hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value).map_err(|_| Refused)
}

/// The request's trailers. To be called while they are held, not after.
pub(crate) fn request_trailers() -> Result<HeaderMap, Refused> {
    header_map(MapType::HttpRequestTrailers)
}

/// Removes every value of a request trailer.
pub(crate) fn remove_request_trailer(name: &str) -> Result<(), Refused> {
    hostcalls::remove_map_value(MapType::HttpRequestTrailers, name).map_err(|_| Refused)
}

/// The response's trailers. To be called while they are held, not after.
pub(crate) fn response_trailers() -> Result<HeaderMap, Refused> {
    header_map(MapType::HttpResponseTrailers)
}

/// Leaves exactly one value of a response trailer.
pub(crate) fn set_response_trailer(name: &str, value: &[u8]) -> Result<(), Refused> {
    hostcalls::set_map_value_bytes(MapType::HttpResponseTrailers, name, Some(value)).map_err(|_| Refused)
}

/// Adds one more value of a response trailer.
pub(crate) fn add_response_trailer(name: &str, value: &[u8]) -> Result<(), Refused> {
    hostcalls::add_map_value_bytes(MapType::HttpResponseTrailers, name, value).map_err(|_| Refused)
}

/// Removes every value of a response trailer.
pub(crate) fn remove_response_trailer(name: &str) -> Result<(), Refused> {
    hostcalls::remove_map_value(MapType::HttpResponseTrailers, name).map_err(|_| Refused)
}

/// Removes every value of a response header.
pub(crate) fn remove_response_header(name: &str) -> Result<(), Refused> {
    hostcalls::remove_map_value(MapType::HttpResponseHeaders, name).map_err(|_| Refused)
}

/// Answers the request here, in place of the upstream.
pub(crate) fn answer(denial: &Denial) -> Result<(), Refused> {
    let body = denial.body();
    let status = u32::from(denial.status());
    hostcalls::send_http_response(status, denial.headers(), Some(body.as_bytes())).map_err(|_| Refused)
}

/// Ends the request without an answer.
pub(crate) fn reset() -> Result<(), Refused> {
    hostcalls::reset_http_request().map_err(|_| Refused)
}

/// Sets the filter state `wasm.keyward`, which the access log prints.
pub(crate) fn set_record(record: &[u8]) -> Result<(), Refused> {
    hostcalls::set_property(vec!["keyward"], Some(record)).map_err(|_| Refused)
}

/// The root id of the plugin that this root context belongs to; `None`: the host does not say.
pub(crate) fn root_id() -> Option<Vec<u8>> {
    hostcalls::get_property(vec!["plugin_root_id"]).ok().flatten()
}

/// The plugin configuration; `None`: there is none.
pub(crate) fn plugin_configuration(size: usize) -> Result<Option<Vec<u8>>, Refused> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).map_err(|_| Refused)
}

/// Time since the Unix epoch.
pub(crate) fn now() -> Result<Duration, Refused> {
    let now = hostcalls::get_current_time().map_err(|_| Refused)?;
    now.duration_since(UNIX_EPOCH).map_err(|_| Refused)
}

/// Envoy's `SignArguments` (`source/extensions/common/wasm/ext/sign.proto`).
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct SignArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    /// PKCS#8, DER.
    #[prost(bytes = "vec", tag = "2")]
    private_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    text: Vec<u8>,
}

/// Envoy's `SignResult`, without its error text.
#[derive(Clone, PartialEq, Message)]
struct SignResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

/// The RSA signature (PKCS #1 v1.5, SHA-256) of a text, made by the host.
pub(crate) fn sign(key: &Secret, text: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut arguments = SignArguments {
        hash_function: "sha256".to_owned(),
        // Exposed to the host that signs with it.
        private_key: key.expose().to_vec(),
        text: text.to_vec(),
    };
    let encoded = Zeroizing::new(arguments.encode_to_vec());
    arguments.private_key.zeroize();
    let answer = hostcalls::call_foreign_function("sign", Some(&encoded)).map_err(|_| Refused)?;
    let SignResult { result, signature } =
        SignResult::decode(answer.unwrap_or_default().as_slice()).map_err(|_| Refused)?;
    if result && !signature.is_empty() { Ok(signature) } else { Err(Refused) }
}

/// Asks for a tick of this root context every `period`.
pub(crate) fn tick_every(period: Duration) -> Result<(), Refused> {
    hostcalls::set_tick_period(period).map_err(|_| Refused)
}

/// Posts to a cluster; the number by which the answer is called.
pub(crate) fn post(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    patience: Duration,
) -> Result<u32, Refused> {
    hostcalls::dispatch_http_call(cluster, headers, Some(body), Vec::new(), patience).map_err(|_| Refused)
}

/// The head of the answer to [`post`]; none where there was no answer.
pub(crate) fn posted_headers() -> Result<HeaderMap, Refused> {
    header_map(MapType::HttpCallResponseHeaders)
}

/// Its body.
pub(crate) fn posted_body(size: usize) -> Result<Vec<u8>, Refused> {
    let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).map_err(|_| Refused)?;
    Ok(body.unwrap_or_default())
}

/// Kinds of metrics, numbered as in the ABI.
#[derive(Clone, Copy)]
pub(crate) enum MetricKind {
    /// Only grows.
    Counter = 0,
    /// Values are put into buckets.
    Histogram = 2,
}

// Not by the SDK, which panics where the host refuses the call.
#[expect(unsafe_code, reason = "an import is unsafe to call")]
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, number: *mut u32) -> u32;
    fn proxy_increment_metric(number: u32, by: i64) -> u32;
    fn proxy_record_metric(number: u32, value: u64) -> u32;
}

/// The number of a metric; `None`: the host counts nothing.
#[expect(unsafe_code, reason = "the host reads and writes memory of ours")]
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Option<u32> {
    let mut number = 0;
    // SAFETY: the name is ours until the call is over, and so is the place that the host writes to.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut number) };
    (status == Status::Ok as u32).then_some(number)
}

/// Adds to a counter. What is not counted is missing from a statistic, and from nothing else.
#[expect(unsafe_code, reason = "an import is unsafe to call")]
pub(crate) fn increment_metric(number: u32, by: i64) {
    // SAFETY: numbers alone.
    let _ = unsafe { proxy_increment_metric(number, by) };
}

/// Adds a value to a histogram, as above.
#[expect(unsafe_code, reason = "an import is unsafe to call")]
pub(crate) fn record_metric(number: u32, value: u64) {
    // SAFETY: numbers alone.
    let _ = unsafe { proxy_record_metric(number, value) };
}

/// Logs one line. Callers put no header and no configuration value into it.
pub(crate) fn log_error(line: &str) {
    // There is nobody left to tell when this fails.
    let _ = hostcalls::log(LogLevel::Error, line);
}
