//! What is answered to a request: the metrics of the controller, those of an Envoy, or the list of targets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as ShortMutex, PoisonError};
use std::time::Duration;

use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{HeaderMap, Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::endpoint::Question;
use super::envoy::{self, FILTER};
use super::exposition::{Format, encode};
use super::reading::Reading;
use crate::envoy::statistics;
use crate::plan::ObjectKey;

/// How old an answer may be. However many ask, the controller and each Envoy are asked once in this time.
const FRESH: Duration = Duration::from_secs(1);

/// How long the controller may take. It answers within a moment, unless it compiles thousands of objects.
const CONTROLLER: Duration = Duration::from_secs(5);

/// How long an Envoy may take.
const ENVOY: Duration = Duration::from_secs(4);

/// Something that is asked for at most once in [`FRESH`], by one asker at a time.
type Kept<T> = Mutex<Option<(Instant, T)>>;

/// What an Envoy said; nothing where it did not answer.
type Statistics = Option<Arc<str>>;

pub(super) struct Pages {
    questions: mpsc::Sender<Question>,
    reading: Kept<Option<Arc<Reading>>>,
    envoys: ShortMutex<BTreeMap<ObjectKey, Arc<Kept<Statistics>>>>,
}

impl Pages {
    pub(super) fn new(questions: mpsc::Sender<Question>) -> Pages {
        Pages { questions, reading: Mutex::default(), envoys: ShortMutex::default() }
    }

    /// The answer to a request. `authority` is where this endpoint was asked, for the list of targets.
    pub(super) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        authority: &str,
    ) -> Response<String> {
        if ![Method::GET, Method::HEAD].contains(method) {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let Some(reading) = self.reading().await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the controller does not answer\n");
        };
        match path {
            "/metrics" => metrics(&reading, headers),
            "/targets" => page("application/json", targets(&reading, authority)),
            _ => match reading.gateways.iter().find(|(key, _)| path_of(key) == path) {
                Some((key, gateway)) => match self.statistics(key, gateway.admin.clone(), &reading).await {
                    Some(text) => page(Format::Text.content_type(), text.to_string()),
                    None => {
                        plain(StatusCode::SERVICE_UNAVAILABLE, "the Envoy of this gateway does not answer\n")
                    }
                },
                None => plain(
                    StatusCode::NOT_FOUND,
                    "there are /metrics, /targets, and /gateways/NAMESPACE/NAME/metrics for each gateway\n",
                ),
            },
        }
    }

    async fn reading(&self) -> Option<Arc<Reading>> {
        fresh(&self.reading, async {
            let (question, answer) = oneshot::channel();
            let answered = async {
                self.questions.send(question).await.ok()?;
                answer.await.ok()
            };
            timeout(CONTROLLER, answered).await.ok().flatten().map(Arc::new)
        })
        .await
    }

    async fn statistics(&self, key: &ObjectKey, admin: std::path::PathBuf, reading: &Reading) -> Statistics {
        let kept = {
            let mut envoys = self.envoys.lock().unwrap_or_else(PoisonError::into_inner);
            envoys.retain(|key, _| reading.gateways.contains_key(key));
            Arc::clone(envoys.entry(key.clone()).or_default())
        };
        fresh(&kept, async {
            let text = timeout(ENVOY, statistics(&admin, FILTER)).await.ok()?.ok()?;
            Some(envoy::select(&text).into())
        })
        .await
    }
}

async fn fresh<T: Clone>(kept: &Kept<T>, ask: impl Future<Output = T>) -> T {
    let mut kept = kept.lock().await;
    if let Some((at, value)) = &*kept
        && at.elapsed() < FRESH
    {
        return value.clone();
    }
    let value = ask.await;
    *kept = Some((Instant::now(), value.clone()));
    value
}

fn metrics(reading: &Reading, headers: &HeaderMap) -> Response<String> {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut accepted = accepted.map(|value| value.contains("application/openmetrics-text"));
    let format = if accepted.any(|is| is) { Format::OpenMetrics } else { Format::Text };
    match encode(reading, format) {
        Ok(text) => page(format.content_type(), text),
        Err(std::fmt::Error) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
    }
}

/// In the format of Prometheus' HTTP service discovery.
fn targets(reading: &Reading, authority: &str) -> String {
    let target = |key: &ObjectKey| {
        let labels = json!({"__metrics_path__": path_of(key), "gateway": key.to_string()});
        json!({"targets": [authority], "labels": labels})
    };
    reading.gateways.keys().map(target).collect::<serde_json::Value>().to_string()
}

/// Names of objects are of letters, digits, `-` and `.`: nothing to escape.
fn path_of(key: &ObjectKey) -> String {
    format!("/gateways/{}/{}/metrics", key.namespace, key.name)
}

fn page(content_type: &'static str, body: String) -> Response<String> {
    let mut page = Response::new(body);
    let headers = page.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    page
}

fn plain(status: StatusCode, body: &str) -> Response<String> {
    let mut answer = page("text/plain; charset=utf-8", body.to_owned());
    *answer.status_mut() = status;
    answer
}
