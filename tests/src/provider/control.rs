//! The control port of a provider that runs as a process: plain HTTP on loopback, one JSON document an answer.
//!
//! `GET /requests` lists what was received, `POST /release` lets one held stream go on, `POST /behaviour` takes the
//! fields that change and answers with the whole behaviour, `GET /behaviour` only answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::body::Answer;
use super::{Behaviour, Provider};

/// Serves the control port until the process ends or the task is aborted; the address it listens on.
///
/// # Errors
/// When no port of 127.0.0.1 can be had.
pub async fn serve(provider: Arc<Provider>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&provider)));
        }
    });
    Ok(address)
}

async fn connection(stream: TcpStream, provider: Arc<Provider>) {
    let service = service_fn(move |request| handle(Arc::clone(&provider), request));
    // A caller that goes away early has its reasons.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn handle(provider: Arc<Provider>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, answer) = match (head.method, head.uri.path()) {
        (Method::GET, "/requests") => (StatusCode::OK, json!(provider.requests())),
        (Method::POST, "/release") => {
            provider.release();
            (StatusCode::OK, json!({}))
        }
        (Method::GET, "/behaviour") => (StatusCode::OK, json!(*provider.shared.behaviour())),
        (Method::POST, "/behaviour") => change(&provider, &body),
        _ => (StatusCode::NOT_FOUND, json!({"error": "no such control"})),
    };
    let mut response = Response::new(Answer::whole(answer.to_string()));
    *response.status_mut() = status;
    Ok(response)
}

/// Lays the fields given over the current behaviour.
fn change(provider: &Provider, fields: &[u8]) -> (StatusCode, Value) {
    let mut whole = json!(*provider.shared.behaviour());
    let changed = serde_json::from_slice::<serde_json::Map<String, Value>>(fields).and_then(|fields| {
        for (name, value) in fields {
            whole[name] = value;
        }
        serde_json::from_value::<Behaviour>(whole)
    });
    match changed {
        Ok(behaviour) => {
            *provider.shared.behaviour() = behaviour.clone();
            (StatusCode::OK, json!(behaviour))
        }
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error.to_string()})),
    }
}
