//! AWS Signature Version 4, over a request as its upstream will see it.
//!
//! `host`, `content-type`, `content-md5` and every `x-amz-*` are signed: what AWS asks for
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>), and nothing that a
//! proxy may still change. The signing itself is the crate `aws-sigv4`.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign as sign_v4,
};
use aws_sigv4::sign::v4;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::decide::{Head, same_header};
use crate::denial::Reason;
use crate::query;
use crate::secret::{Secret, Unusable};

/// The keys of a Secret that hold the credential; the last one may be absent.
pub const SECRET_KEYS: [&str; 3] = ["access_key_id", "secret_access_key", "session_token"];

/// Headers that are removed before a request is signed: of this signature and of its multi-region and S3 Express forms.
pub const REMOVED_HEADERS: [&str; 5] =
    ["authorization", "x-amz-date", "x-amz-region-set", "x-amz-s3session-token", "x-amz-security-token"];

/// Query parameters of a presigned URL, which are removed as well
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>).
pub const REMOVED_QUERY: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Those of them that are no credential, and come with every presigned URL.
pub(crate) const DESCRIBING_QUERY: [&str; 6] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signature",
    "x-amz-signedheaders",
];

/// Those of the removed headers that every signature sets again.
pub(crate) const SET_HEADERS: [&str; 2] = ["authorization", "x-amz-date"];

const CONTENT_SHA256: &str = "x-amz-content-sha256";
const UNSIGNED: &[u8] = b"UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &[u8] = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// What one account signs with. Zeroized on drop.
pub struct Keys {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    credentials: Credentials,
}

/// Which part of the keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{part}: {unusable}")]
pub struct KeysError {
    /// One of [`SECRET_KEYS`].
    pub part: &'static str,
    /// Why.
    pub unusable: Unusable,
}

impl Keys {
    /// Reads the keys from how they are sealed: a line each for access key id and secret access key, and one for the
    /// session token where there is one.
    ///
    /// # Errors
    /// [`KeysError`] names the part that is missing or unusable.
    pub fn parse(lines: &Secret) -> Result<Keys, KeysError> {
        // Exposed to be taken apart; each part is a secret again.
        let text = lines.expose();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let mut lines = text.split(|byte| *byte == b'\n');
        let mut next = |part| lines.next().map(|line| part_of(part, line)).transpose();
        let [id, key, token] = SECRET_KEYS;
        let missing = |part| KeysError { part, unusable: Unusable::Empty };
        let access_key_id = next(id)?.ok_or_else(|| missing(id))?;
        let secret_access_key = next(key)?.ok_or_else(|| missing(key))?;
        let session_token = next(token)?;
        if lines.next().is_some() {
            return Err(KeysError { part: token, unusable: Unusable::ControlByte });
        }
        // Exposed to the library that signs, which zeroizes its copy.
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let token = session_token.as_ref().map(text);
        let credentials =
            Credentials::new(text(&access_key_id), text(&secret_access_key), token, None, "keyward");
        Ok(Keys { access_key_id, secret_access_key, session_token, credentials })
    }

    /// The keys as they are sealed, each checked.
    ///
    /// # Errors
    /// [`KeysError`] names the part that is unusable.
    pub fn join(
        access_key_id: &[u8],
        secret_access_key: &[u8],
        session_token: Option<&[u8]>,
    ) -> Result<Secret, KeysError> {
        let values = [Some(access_key_id), Some(secret_access_key), session_token];
        let mut lines = zeroize::Zeroizing::new(Vec::new());
        for (part, value) in SECRET_KEYS.into_iter().zip(values) {
            let Some(value) = value else { continue };
            lines.extend_from_slice(part_of(part, value)?.expose());
            lines.push(b'\n');
        }
        Ok(Secret::new(std::mem::take(&mut *lines)))
    }

    /// What nobody but the provider may see. The id alone opens nothing; but it names the account, and errors of AWS
    /// repeat it.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        [&self.access_key_id, &self.secret_access_key].into_iter().chain(&self.session_token)
    }
}

/// Whether a value can be the part of the keys that a key of a Secret holds. Other keys of the Secret are not read.
///
/// # Errors
/// [`Unusable`] says why it cannot.
pub fn check_part(key: &str, value: &[u8]) -> Result<(), Unusable> {
    let Some(part) = SECRET_KEYS.into_iter().find(|part| *part == key) else { return Ok(()) };
    part_of(part, value).map(drop).map_err(|error| error.unusable)
}

/// Every part goes into a header of text.
fn part_of(part: &'static str, value: &[u8]) -> Result<Secret, KeysError> {
    let fault = |unusable| KeysError { part, unusable };
    let secret = Secret::credential(value).map_err(fault)?;
    let visible = secret.expose().iter().all(u8::is_ascii_graphic);
    let separators = part == SECRET_KEYS[0] && secret.expose().iter().any(|byte| b"/,=".contains(byte));
    if visible && !separators { Ok(secret) } else { Err(fault(Unusable::NotAwsKey)) }
}

/// The region that a host of AWS names (<https://docs.aws.amazon.com/general/latest/gr/rande.html>).
#[must_use]
pub fn region_of(host: &str) -> Option<&str> {
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    let labels = suffixes.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    labels.rsplit('.').find(|label| is_aws_region(label))
}

/// Whether some host of a pattern names a region: it does itself, or its `*` may stand for one.
#[must_use]
pub fn may_name_region(pattern: &str) -> bool {
    region_of(&pattern.replace('*', "us-east-1")).is_some()
}

/// `us-east-1`, `us-gov-west-1`: words, then a number.
fn is_aws_region(label: &str) -> bool {
    let mut parts = label.rsplit('-');
    let number = parts
        .next()
        .is_some_and(|part| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()));
    let words =
        parts.clone().all(|part| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase()));
    number && words && parts.count() >= 2
}

/// Whether a text can be a region or a service in a credential scope. Other vendors' S3 servers have names of their own
/// (`auto`, `garage`).
#[must_use]
pub fn is_scope_part(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a service's paths are encoded once, and bodies may stay unsigned
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>).
fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3-object-lambda" | "s3-outposts" | "s3express")
}

/// What of the body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Its hash.
    Hashed,
    /// Nothing: S3, over TLS.
    Unsigned,
    /// Nothing: S3, in chunks with a checksum behind them.
    UnsignedTrailer,
}

/// What of a request's body is to be signed.
pub(crate) fn payload(service: &str, head: &Head<'_>) -> Result<Payload, Reason> {
    let mut said = head.headers.iter().filter(|(name, _)| same_header(name, CONTENT_SHA256));
    let said = said.next().map(|(_, value)| (value.trim_ascii(), said.next().is_some()));
    let presigned = || query::has(head.path, ["x-amz-signature"].into_iter());
    match said {
        Some((UNSIGNED, false)) if is_s3(service) => Ok(Payload::Unsigned),
        Some((UNSIGNED_TRAILER, false)) if is_s3(service) => Ok(Payload::UnsignedTrailer),
        Some((value, _)) if value.starts_with(b"STREAMING-") => Err(Reason::ChunkSigned),
        // Who holds a presigned URL does not know the body's hash: nobody could sign it.
        None if is_s3(service) && presigned() => Ok(Payload::Unsigned),
        _ if head.is_grpc() => Err(Reason::Unsignable),
        _ => Ok(Payload::Hashed),
    }
}

/// A SHA-256 of what a body was so far.
#[derive(Clone, Default)]
pub struct BodyHash(Sha256);

impl BodyHash {
    /// Of a body that is all there.
    #[must_use]
    pub fn of(bytes: &[u8]) -> BodyHash {
        let mut hash = BodyHash::default();
        hash.update(bytes);
        hash
    }

    /// Takes what came next.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In hexadecimal.
    fn hex(self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().map_or('0', char::from);
        self.0.finalize().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

/// For which region and service a request is signed, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    /// Since the Unix epoch.
    pub(crate) now: Duration,
}

/// The headers that a request gets.
pub(crate) struct Signed {
    pub(crate) headers: Vec<(String, Secret)>,
    /// What an upstream may not send back while it is good: fifteen minutes.
    pub(crate) signature: Secret,
}

/// Signs. `head` is the request as it goes upstream, but for the headers that signing sets.
pub(crate) fn sign(
    keys: &Keys,
    scope: Scope<'_>,
    head: &Head<'_>,
    payload: Payload,
    body: BodyHash,
) -> Result<Signed, Reason> {
    let authority = text(head.authority)?;
    let mut headers = vec![("host", authority)];
    for (name, value) in head.headers.iter().filter(|(name, _)| is_signed(name)) {
        headers.push((text(name)?, text(value)?));
    }
    let uri = format!("https://{authority}{}", target(scope.service, text(head.path)?)?);
    let body = match payload {
        Payload::Hashed => SignableBody::Precomputed(body.hex()),
        Payload::Unsigned => SignableBody::UnsignedPayload,
        Payload::UnsignedTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
    };
    let said_hash = head.headers.iter().any(|(name, _)| same_header(name, CONTENT_SHA256));
    let request = SignableRequest::new(text(head.method)?, uri, headers.into_iter(), body);
    instruct(keys, scope, request.map_err(|_| Reason::Unsignable)?, settings(scope.service, said_hash))
}

fn text(bytes: &[u8]) -> Result<&str, Reason> {
    std::str::from_utf8(bytes).map_err(|_| Reason::Unsignable)
}

fn instruct(
    keys: &Keys,
    scope: Scope<'_>,
    request: SignableRequest<'_>,
    settings: SigningSettings,
) -> Result<Signed, Reason> {
    let identity = keys.credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(SystemTime::UNIX_EPOCH + scope.now)
        .settings(settings)
        .build()
        .map_err(|_| Reason::Unsignable)?;
    let (instructions, signature) =
        sign_v4(request, &params.into()).map_err(|_| Reason::Unsignable)?.into_parts();
    let set = instructions.headers().map(|(name, value)| (name.to_owned(), Secret::new(value.into())));
    Ok(Signed { headers: set.collect(), signature: Secret::new(signature.into_bytes()) })
}

/// Whether a header of the request is signed. Those that signing sets are added by it.
fn is_signed(name: &[u8]) -> bool {
    let set = REMOVED_HEADERS.iter().chain([&CONTENT_SHA256]).any(|other| same_header(name, other));
    let plain = [&b"content-type"[..], b"content-md5"].contains(&name);
    plain || name.starts_with(b"x-amz-") && !set
}

fn settings(service: &str, said_hash: bool) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if is_s3(service) || said_hash {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if is_s3(service) {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

/// RFC 3986, 2.3, and the slash.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Path and query as they are signed. S3 signs the one encoding that a key has, however its path was written.
fn target(service: &str, target: &str) -> Result<String, Reason> {
    if target.contains('#') || !target.starts_with('/') {
        return Err(Reason::Unsignable);
    }
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    if !is_s3(service) {
        return Ok(target.to_owned());
    }
    let key: Vec<u8> = percent_decode(path.as_bytes()).collect();
    Ok(format!("{}{query}", percent_encode(&key, ESCAPED)))
}

#[cfg(test)]
mod tests;
