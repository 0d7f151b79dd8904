//! From a request to its answer, as the current behaviour says.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::api::Api;
use super::behaviour::Behaviour;
use super::body::Answer;
use super::log::Received;
use super::{Encoding, Shared, anthropic, bedrock, echo, git, openai, packages};

const SSE: &str = "text/event-stream; charset=utf-8";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The answer to a request; returns when its head may be sent.
pub(super) async fn answer(request: &Received, shared: &Arc<Shared>) -> Response<Answer> {
    let behaviour = shared.behaviour().clone();
    sleep(Duration::from_millis(behaviour.delay_ms)).await;
    let mut response = match (&behaviour.projects, &behaviour.packages) {
        (Some(_), _) if shared.is_challenged() => git::challenge(),
        (Some(projects), _) => git::answer(request, projects.clone(), behaviour.key.as_deref()).await,
        (None, Some(packages)) => packages::answer(request, packages),
        (None, None) if behaviour.confess => confession(request, &behaviour, shared),
        (None, None) => route(request, &behaviour, shared),
    };
    decorate(&mut response, request, &behaviour);
    response
}

/// What came, whole, or where a stream was asked for in parts that are shorter than any credential.
fn confession(request: &Received, behaviour: &Behaviour, shared: &Arc<Shared>) -> Response<Answer> {
    const PART: usize = 7;
    let told = echo::confession(&behaviour.echo, request);
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if asked["stream"] == true {
        let events: String = told.lines().map(|line| format!("data: {line}\n\n")).collect();
        let parts = events.as_bytes().chunks(PART).map(Bytes::copy_from_slice).collect();
        return streamed(SSE, parts, request, behaviour, shared);
    }
    let mut response = Response::new(Answer::whole(told));
    set(&mut response, "content-type", "application/x-ndjson");
    response
}

fn route(request: &Received, behaviour: &Behaviour, shared: &Arc<Shared>) -> Response<Answer> {
    if let Some(size) = behaviour.body_bytes {
        return Response::new(Answer::whole("x".repeat(size)));
    }
    let path = request.path.split('?').next().unwrap_or_default();
    if let Some(operation) = bedrock::operation(path) {
        // Whether it was signed is told from what was received: see `aws::verify`.
        return match bedrock::document(operation, "Hello!", behaviour.tokens) {
            Some(document) => written(&document, request, behaviour),
            None => {
                let events = bedrock::events(operation, behaviour.deltas, behaviour.tokens);
                streamed(EVENT_STREAM, events, request, behaviour, shared)
            }
        };
    }
    if anthropic::is_account(path) {
        return whole(StatusCode::NOT_FOUND, &anthropic::error("not_found_error", "Not found"));
    }
    if openai::is_socket(request, path) {
        let refusal = openai::error("upgrade_required", "There is no WebSocket here.");
        return whole(StatusCode::UPGRADE_REQUIRED, &refusal);
    }
    let Some(api) = Api::of(path) else {
        let echoed = json!({"method": request.method, "path": request.path, "input_tokens": 12});
        return whole(StatusCode::OK, &echoed);
    };
    if behaviour.key.as_ref().is_some_and(|key| api.keys(request) != [key.as_str()]) {
        return whole(StatusCode::UNAUTHORIZED, &api.refusal());
    }
    let Ok(asked) = serde_json::from_slice::<Value>(&request.body) else {
        return whole(StatusCode::BAD_REQUEST, &api.complaint());
    };
    if api.is_streamed(path, &asked) {
        let events = api.events(&asked, behaviour.deltas, behaviour.tokens);
        return streamed(SSE, events, request, behaviour, shared);
    }
    let text = behaviour.text_bytes.map_or_else(|| "Hello!".to_owned(), |size| "x".repeat(size));
    written(&api.message(&asked, &text, behaviour.tokens), request, behaviour)
}

/// A document as an answer.
fn written(document: &Value, request: &Received, behaviour: &Behaviour) -> Response<Answer> {
    let (parts, coding) = on_the_wire(vec![document.to_string().into()], request, behaviour);
    let mut response = Response::new(Answer::whole(parts.concat()));
    set(&mut response, "content-type", "application/json");
    set_coding(&mut response, coding);
    response
}

fn whole(status: StatusCode, body: &Value) -> Response<Answer> {
    let mut response = Response::new(Answer::whole(body.to_string()));
    *response.status_mut() = status;
    set(&mut response, "content-type", "application/json");
    response
}

fn streamed<Event: Into<Bytes>>(
    kind: &str,
    events: Vec<Event>,
    request: &Received,
    behaviour: &Behaviour,
    shared: &Arc<Shared>,
) -> Response<Answer> {
    let (sender, receiver) = mpsc::channel(1);
    let events = events.into_iter().map(Into::into).collect();
    let (events, coding) = on_the_wire(events, request, behaviour);
    tokio::spawn(send_events(events, behaviour.clone(), Arc::clone(shared), sender));
    let mut response = Response::new(Answer::Parts(receiver));
    set(&mut response, "content-type", kind);
    set(&mut response, "cache-control", "no-cache");
    set_coding(&mut response, coding);
    response
}

/// The parts of a body with what is wrong with them, encoded, and the name of the coding. Each part of a stream can be
/// decoded once it is there; a damaged body is one part.
fn on_the_wire(
    mut parts: Vec<Bytes>,
    request: &Received,
    behaviour: &Behaviour,
) -> (Vec<Bytes>, Option<&'static str>) {
    if let Some(damage) = behaviour.damage {
        let mut body = parts.concat();
        damage.apply(&mut body);
        parts = vec![body.into()];
    }
    let accepts = || request.values("accept-encoding").iter().any(|accepted| accepted.contains("gzip"));
    match behaviour.encoding {
        Encoding::Gzip => (zipped(&parts), Some("gzip")),
        Encoding::GzipIfAccepted if accepts() => (zipped(&parts), Some("gzip")),
        Encoding::SaidToBeBrotli => (parts, Some("br")),
        Encoding::Identity | Encoding::GzipIfAccepted => (parts, None),
    }
}

fn zipped(parts: &[Bytes]) -> Vec<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut zipped: Vec<Bytes> = Vec::new();
    for part in parts {
        encoder.write_all(part).and_then(|()| encoder.flush()).expect("memory");
        zipped.push(std::mem::take(encoder.get_mut()).into());
    }
    zipped.push(encoder.finish().expect("memory").into());
    zipped
}

fn set_coding(response: &mut Response<Answer>, coding: Option<&str>) {
    if let Some(coding) = coding {
        set(response, "content-encoding", coding);
    }
}

async fn send_events(
    events: Vec<Bytes>,
    behaviour: Behaviour,
    shared: Arc<Shared>,
    sender: mpsc::Sender<Bytes>,
) {
    for (number, event) in events.into_iter().enumerate() {
        if number == 1 && behaviour.hold_second_event {
            let Ok(permit) = shared.released.acquire().await else { return };
            permit.forget();
        }
        if number > 0 {
            sleep(Duration::from_millis(behaviour.event_gap_ms)).await;
        }
        if sender.send(event).await.is_err() {
            return;
        }
    }
}

fn decorate(response: &mut Response<Answer>, request: &Received, behaviour: &Behaviour) {
    set(response, "server", "provider");
    set(response, "alt-svc", "h3=\":443\"; ma=86400");
    set(response, "request-id", "req_011CSHoEeqs5C35K2UUqR7Fy");
    if let Some(status) = behaviour.status.and_then(|code| StatusCode::from_u16(code).ok()) {
        *response.status_mut() = status;
    }
    if let Some(location) = &behaviour.location {
        set(response, "location", location);
    }
    for (name, value) in &behaviour.headers {
        set(response, name, value);
    }
    for credential in echo::credentials(request) {
        for (name, value) in behaviour.echo.iter().flat_map(|form| echo::headers(*form, credential)) {
            set(response, name, &value);
        }
    }
}

fn set(response: &mut Response<Answer>, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
    response.headers_mut().append(name, HeaderValue::from_str(value).expect("a header value"));
}
