//! The published vectors, and what of a request is signed.

use super::*;
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 2015-08-30T12:36:00Z, the time of all vectors.
const NOW: Duration = Duration::from_secs(1_440_938_160);

#[derive(Deserialize)]
struct Context {
    credentials: ContextKeys,
    region: String,
    service: String,
    sign_body: bool,
    timestamp: String,
}

#[derive(Deserialize)]
struct ContextKeys {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
}

struct Vector {
    name: &'static str,
    context: &'static str,
    request: &'static str,
    signature: &'static str,
}

macro_rules! vectors {
    ($($name:literal),* $(,)?) => {
        &[$(Vector {
            name: $name,
            context: include_str!(concat!("../../tests/vectors/aws-sigv4/", $name, "/context.json")),
            request: include_str!(concat!("../../tests/vectors/aws-sigv4/", $name, "/request.txt")),
            signature: include_str!(concat!("../../tests/vectors/aws-sigv4/", $name, "/header-signature.txt")),
        }),*]
    };
}

const VECTORS: &[Vector] = vectors![
    "get-header-key-duplicate",
    "get-header-value-order",
    "get-header-value-trim",
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-slash-dot-slash-normalized",
    "get-slash-normalized",
    "get-slash-pointless-dot-normalized",
    "get-slashes-normalized",
    "get-unreserved",
    "get-vanilla",
    "get-vanilla-empty-query-key",
    "get-vanilla-query",
    "get-vanilla-query-order-encoded",
    "get-vanilla-query-order-key-case",
    "get-vanilla-query-unreserved",
    "get-vanilla-utf8-query",
    "get-vanilla-with-session-token",
    "post-header-key-case",
    "post-header-key-sort",
    "post-header-value-case",
    "post-vanilla",
    "post-vanilla-empty-query-value",
    "post-vanilla-query",
    "post-x-www-form-urlencoded",
    "post-x-www-form-urlencoded-parameters",
];

fn keys(id: &str, secret: &str, token: Option<&str>) -> Keys {
    let lines = Keys::join(id.as_bytes(), secret.as_bytes(), token.map(str::as_bytes));
    lines.and_then(|lines| Keys::parse(&lines)).unwrap_or_else(|error| panic!("{error}"))
}

/// Signs every header of a vector, as the vectors want it.
fn signature(vector: &Vector) -> Result<String, Reason> {
    let context: Context = serde_json::from_str(vector.context).unwrap();
    assert_eq!(context.timestamp, "2015-08-30T12:36:00Z", "{}", vector.name);
    let (head, body) = vector.request.split_once("\n\n").unwrap_or((vector.request, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next().and_then(|line| line.split_once(' ')).unwrap();
    let target = target.strip_suffix(" HTTP/1.1").unwrap();
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).unwrap().1;
    let mut hash = BodyHash::default();
    hash.update(body.as_bytes());
    let body = SignableBody::Precomputed(hash.hex());
    let uri = format!("https://{host}{}", super::target(&context.service, target)?);
    let request = SignableRequest::new(method, uri, headers.into_iter(), body);
    let keys = keys(
        &context.credentials.access_key_id,
        &context.credentials.secret_access_key,
        context.credentials.token.as_deref(),
    );
    let scope = Scope { region: &context.region, service: &context.service, now: NOW };
    let settings = settings(&context.service, context.sign_body);
    let signed = instruct(&keys, scope, request.map_err(|_| Reason::Unsignable)?, settings)?;
    Ok(String::from_utf8(signed.signature.expose().to_vec()).unwrap())
}

#[test]
fn signatures_are_those_of_the_published_vectors() {
    for vector in VECTORS {
        assert_eq!(signature(vector).as_deref(), Ok(vector.signature.trim()), "{}", vector.name);
    }
}

#[test]
fn a_request_that_is_no_url_is_not_signed() {
    for path in ["/a#b", "*", "a", ""] {
        let head = Head { method: b"GET", authority: b"a.example", path: path.as_bytes(), ..Head::default() };
        assert!(signed(&head, "s3").is_err(), "{path}");
    }
}

fn signed(head: &Head<'_>, service: &str) -> Result<Signed, Reason> {
    let keys = keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None);
    let scope = Scope { region: "us-east-1", service, now: NOW };
    sign(&keys, scope, head, payload(service, head)?, BodyHash::default())
}

fn header(signed: &Signed, name: &str) -> Option<String> {
    let value = signed.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value);
    value.map(|value| String::from_utf8_lossy(value.expose()).into_owned())
}

fn names(signed: &Signed) -> String {
    let authorization = header(signed, "authorization").unwrap();
    authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

fn head<'a>(path: &'a str, headers: &[(&'a str, &'a str)]) -> Head<'a> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    Head { method: b"POST", authority: b"a.example", path: path.as_bytes(), headers, ..Head::default() }
}

#[test]
fn host_content_type_and_the_headers_of_aws_are_signed_and_nothing_else() {
    let sent = [
        ("accept", "*/*"),
        ("amz-sdk-invocation-id", "1"),
        ("content-md5", "x"),
        ("content-type", "application/json"),
        ("user-agent", "Boto3"),
        ("x-amz-date", "20000101T000000Z"),
        ("x-amz-target", "DynamoDB_20120810.ListTables"),
        ("x-amzn-trace-id", "1"),
        ("x-forwarded-for", "1"),
    ];
    let signed = signed(&head("/", &sent), "dynamodb").unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!(names(&signed), "content-md5;content-type;host;x-amz-date;x-amz-target");
    assert_eq!(header(&signed, "x-amz-date").as_deref(), Some("20150830T123600Z"));
    assert_eq!(header(&signed, "x-amz-content-sha256"), None);
}

#[test]
fn the_hash_of_the_body_is_sent_to_s3_and_where_the_agent_sent_one() {
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let said = [("x-amz-content-sha256", "0123")];
    for (service, sent, expected) in [
        ("s3", &[][..], Some(EMPTY)),
        ("s3", &said, Some(EMPTY)),
        ("bedrock", &said, Some(EMPTY)),
        ("bedrock", &[], None),
        ("s3", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], Some("UNSIGNED-PAYLOAD")),
        ("bedrock", &[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], Some(EMPTY)),
        (
            "s3",
            &[("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")],
            Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ),
    ] {
        let signed = signed(&head("/", sent), service).unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(header(&signed, "x-amz-content-sha256").as_deref(), expected, "{service} {sent:?}");
    }
}

#[test]
fn what_of_a_body_is_signed() {
    let presigned = "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Sign%61ture=00";
    let sha = "x-amz-content-sha256";
    for (service, path, sent, expected) in [
        ("s3", "/b/k", &[][..], Ok(Payload::Hashed)),
        ("s3", presigned, &[], Ok(Payload::Unsigned)),
        ("s3", presigned, &[(sha, "00")], Ok(Payload::Hashed)),
        ("bedrock", presigned, &[], Ok(Payload::Hashed)),
        ("s3", "/b/k", &[(sha, "UNSIGNED-PAYLOAD")], Ok(Payload::Unsigned)),
        ("s3", "/b/k", &[(sha, "UNSIGNED-PAYLOAD"), (sha, "00")], Ok(Payload::Hashed)),
        ("s3", "/b/k", &[(sha, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")], Ok(Payload::UnsignedTrailer)),
        ("bedrock", "/", &[(sha, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")], Err(Reason::ChunkSigned)),
        ("s3", "/b/k", &[(sha, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")], Err(Reason::ChunkSigned)),
        ("bedrock", "/", &[(sha, "STREAMING-AWS4-HMAC-SHA256-EVENTS")], Err(Reason::ChunkSigned)),
        ("bedrock", "/", &[("content-type", "application/grpc+proto")], Err(Reason::Unsignable)),
    ] {
        assert_eq!(payload(service, &head(path, sent)), expected, "{service} {path} {sent:?}");
    }
}

#[test]
fn a_signature_covers_text_alone() {
    let mut odd = head("/", &[]);
    odd.headers.push((b"x-amz-meta-name", b"\xff"));
    assert_eq!(signed(&odd, "s3").err(), Some(Reason::Unsignable));
    odd.headers[0] = (b"x-other", b"\xff");
    assert!(signed(&odd, "s3").is_ok());
}

#[test]
fn s3_signs_one_encoding_of_a_key_and_others_the_path_as_it_was_sent() {
    for (service, sent, signed) in [
        ("s3", "/b/a%20b?x=%7e", "/b/a%20b?x=%7e"),
        ("s3", "/b/a%7eb%2fc", "/b/a~b/c"),
        ("s3", "/b/(a)'!*", "/b/%28a%29%27%21%2A"),
        ("s3", "/b//../%E4%BD%A0", "/b//../%E4%BD%A0"),
        ("bedrock", "/model/a%3A0/invoke", "/model/a%3A0/invoke"),
        ("bedrock", "/model/a:0/invoke?x", "/model/a:0/invoke?x"),
    ] {
        assert_eq!(target(service, sent).as_deref(), Ok(signed), "{service} {sent}");
    }
}

#[test]
fn a_region_is_read_off_hosts_of_aws_alone() {
    for (host, region) in [
        ("bedrock-runtime.us-east-1.amazonaws.com", Some("us-east-1")),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
        ("vpce-0a1-b2.bedrock-runtime.eu-central-1.vpce.amazonaws.com", Some("eu-central-1")),
        ("bucket.s3.dualstack.ap-southeast-2.amazonaws.com", Some("ap-southeast-2")),
        ("us-west-1.s3.eu-west-1.amazonaws.com", Some("eu-west-1")),
        ("s3.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
        ("bedrock-runtime.us-east-1.api.aws", Some("us-east-1")),
        ("s3.amazonaws.com", None),
        ("sts.amazonaws.com", None),
        ("us-east-1.example.com", None),
        ("eu-1.amazonaws.com", None),
    ] {
        assert_eq!(region_of(host), region, "{host}");
    }
}

#[test]
fn every_part_of_the_keys_is_looked_for_in_what_comes_back() {
    let parts = ["AKIDEXAMPLE0", "a-secret-access-key", "a-session-token"];
    let keys = keys(parts[0], parts[1], Some(parts[2]));
    let secrets: Vec<_> = keys.secrets().map(Secret::expose).collect();
    assert_eq!(secrets, parts.map(str::as_bytes));
}

#[test]
fn keys_that_no_header_can_carry_are_refused_by_name() {
    let (id, secret) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    for (parts, expected) in [
        ((id, secret, None), None),
        ((id, secret, Some("session-token==")), None),
        (("AKID/EXAMPLE", secret, None), Some(("access_key_id", Unusable::NotAwsKey))),
        (("AKIDEXAMPLÉ", secret, None), Some(("access_key_id", Unusable::NotAwsKey))),
        (("clrk-injected-by-proxy", secret, None), Some(("access_key_id", Unusable::Placeholder))),
        ((id, "two words", None), Some(("secret_access_key", Unusable::NotAwsKey))),
        ((id, "short", None), Some(("secret_access_key", Unusable::TooShort))),
        ((id, secret, Some("")), Some(("session_token", Unusable::Empty))),
    ] {
        let (id, secret, token) = parts;
        let joined = Keys::join(id.as_bytes(), secret.as_bytes(), token.map(str::as_bytes));
        let error = joined.and_then(|lines| Keys::parse(&lines).map(|_| ())).err();
        assert_eq!(error.map(|error| (error.part, error.unusable)), expected, "{parts:?}");
    }
    for lines in ["", "AKIDEXAMPLE", "AKIDEXAMPLE\n", "AKIDEXAMPLE\nsecretkey\ntokentoken\nmoremore"] {
        assert!(Keys::parse(&Secret::new(lines.into())).is_err(), "{lines}");
    }
}
