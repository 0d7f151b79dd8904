use std::time::Instant;

use tokio::net::{TcpListener, TcpSocket};

use super::super::answer::OauthCode;
use super::super::test_endpoint::{Answer, Endpoint, response};
use super::super::testing::{account, pem, verify};
use super::super::transport::{ANSWER_LIMIT, TrustError};
use super::*;

/// Some root, where none is used.
fn transport() -> Transport {
    Transport::new(&rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem()).unwrap()
}

async fn ask(transport: &Transport, token_uri: &str) -> Result<Token, Failure> {
    exchange(transport, &account("one", token_uri), &Scopes::default(), OffsetDateTime::now_utc()).await
}

async fn check(answer: Answer, expected: ExchangeError) -> Failure {
    let endpoint = Endpoint::start(vec![answer]).await;
    let started = Instant::now();
    let failure = ask(&transport(), &endpoint.token_uri()).await.expect_err("no token");
    assert_eq!(failure.cause, expected);
    assert_eq!(endpoint.requests().len(), 1, "asked once");
    assert!(started.elapsed() < Duration::from_secs(5), "not by a timeout");
    failure
}

#[tokio::test]
async fn an_account_is_exchanged_for_a_token() {
    let endpoint = Endpoint::start(vec![Answer::Verified("one")]).await;
    let before = OffsetDateTime::now_utc();
    let token = ask(&transport(), &endpoint.token_uri()).await.expect("a token");
    assert!(token.value.expose() == b"ya29.canary-0", "the endpoint's token");
    assert_eq!((token.expires_at - before).whole_minutes(), 59);
    let request = endpoint.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /token?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", endpoint.address)), "{head}");
    assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    let assertion = body.strip_prefix(FORM).unwrap();
    let claims = verify(assertion, "one").unwrap().claims;
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
}

#[tokio::test]
async fn a_wrong_key_is_an_invalid_grant() {
    check(Answer::Verified("other"), ExchangeError::Refused(OauthCode::InvalidGrant)).await;
}

#[tokio::test]
async fn over_tls_the_endpoint_must_be_who_the_uri_names_and_known_to_the_bundle() {
    let endpoint = Endpoint::start_tls(&["127.0.0.1"], vec![Answer::Verified("one")]).await;
    let trusting = Transport::new(&endpoint.root).unwrap();
    assert!(ask(&trusting, &endpoint.token_uri()).await.is_ok());
    let failure = ask(&transport(), &endpoint.token_uri()).await.expect_err("unknown to the bundle");
    assert_eq!(failure.cause, ExchangeError::Untrusted);
    let other = Endpoint::start_tls(&["a.example"], vec![Answer::Verified("one")]).await;
    let failure =
        ask(&Transport::new(&other.root).unwrap(), &other.token_uri()).await.expect_err("another name");
    assert_eq!(failure.cause, ExchangeError::Untrusted);
    assert!(other.requests().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn tls_to_what_does_not_speak_it_is_a_failed_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hangup = tokio::spawn(async move { drop(listener.accept().await) });
    let failure = ask(&transport(), &format!("https://{address}/")).await.expect_err("no TLS");
    assert_eq!(failure.cause, ExchangeError::Handshake);
    hangup.await.unwrap();
}

#[test]
fn a_bundle_without_a_root_is_refused() {
    for bundle in ["", "nothing", &pem("one")] {
        assert_eq!(Transport::new(bundle).err(), Some(TrustError::Empty));
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_unreachable() {
    // Bound, so that no other test gets the port, and never listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    let failure = ask(&transport(), &format!("http://{address}/")).await.expect_err("nobody listens");
    assert_eq!(failure, Failure { cause: ExchangeError::Unreachable, retry_after: None });
}

#[tokio::test]
async fn an_endpoint_that_hangs_or_drips_is_left_in_time() {
    for answer in [Answer::Silence, Answer::Drip] {
        let endpoint = Endpoint::start(vec![answer]).await;
        let impatient = transport().within(Duration::from_millis(200));
        let started = Instant::now();
        let failure = ask(&impatient, &endpoint.token_uri()).await.expect_err("no answer");
        assert_eq!(failure.cause, ExchangeError::Timeout);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_is_a_broken_connection() {
    let half = Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"access".to_owned());
    check(half, ExchangeError::Broken).await;
}

#[tokio::test]
async fn what_is_no_answer_is_a_broken_connection() {
    check(Answer::Hangup, ExchangeError::Broken).await;
    check(Answer::Raw("canary\r\n\r\n".to_owned()), ExchangeError::Broken).await;
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(1_000_000));
    check(Answer::Raw(head), ExchangeError::Broken).await;
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    check(Answer::Endless("aaaaaaaaaaaaaaaa"), ExchangeError::TooLarge).await;
    check(response("200 OK", "", &"a".repeat(ANSWER_LIMIT + 1)), ExchangeError::TooLarge).await;
    check(response("200 OK", "", &"a".repeat(ANSWER_LIMIT)), ExchangeError::NotToken).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Endpoint::start(vec![Answer::Verified("one")]).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let code = status[..3].parse().unwrap();
        let location = format!("location: {}\r\n", target.token_uri());
        check(response(status, &location, ""), ExchangeError::Status(code)).await;
    }
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn garbage_and_refusals_are_told_apart_and_say_when_to_ask_again() {
    check(response("200 OK", "", "<html>"), ExchangeError::NotToken).await;
    check(response("403 Forbidden", "", "canary"), ExchangeError::Status(403)).await;
    let busy = response("503 Service Unavailable", "retry-after: 30\r\n", "");
    let failure = check(busy, ExchangeError::Status(503)).await;
    assert_eq!(failure.retry_after, Some(Duration::from_secs(30)));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
    #[rustfmt::skip]
    let cases = [
        ("0", Some(0)), ("120", Some(120)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)), ("Sun, 06 Nov 1994 08:48:37 GMT", None),
        ("", None), ("-1", None), ("soon", None), ("99999999999999999999", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
    }
}

#[tokio::test]
async fn a_self_signed_token_needs_no_endpoint() {
    let grant = Grant::of(
        Some(&policy::api::credential_injection_policy::Gcp {
            scopes: Vec::new(),
            audience: None,
            mode: Some(policy::api::credential_injection_policy::GcpMode::SelfSignedJwt),
        }),
        Some("aiplatform.googleapis.com"),
    );
    let now = OffsetDateTime::now_utc();
    let account = account("one", "http://127.0.0.1:1/");
    let token = mint(&transport(), &account, &grant.unwrap(), now).await.expect("a token");
    assert_eq!((token.expires_at - now).whole_minutes(), 59);
    assert!(token.value.expose().starts_with(b"ey"));
}
