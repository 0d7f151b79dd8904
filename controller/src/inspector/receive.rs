//! Takes spans from our Envoys: OTLP/HTTP in protobuf (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), over a
//! Unix socket that this user alone can open.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::span::Told;
use super::store::Store;

/// The path that spans are posted to.
pub(crate) const PATH: &str = "/v1/traces";

/// Bytes of one export, as they come and decoded. The filter sends batches of little more than 1 MiB.
const MOST: usize = 4 << 20;
const MOST_DECODED: u64 = 16 << 20;

/// Connections at a time; Envoy has a few for each of its workers.
const CONNECTIONS: usize = 256;

/// How long a head may take.
const HEAD: Duration = Duration::from_secs(10);

/// Accepts connections until it is dropped with the task.
pub(super) async fn serve(listener: UnixListener, store: Arc<Store>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let answered = service_fn(|request| answer(request, &store));
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
                    if let Err(error) = http.serve_connection(TokioIo::new(stream), answered).await {
                        tracing::debug!(%error, "a connection with spans");
                    }
                    drop(place);
                });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the socket for spans");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::getuid().as_raw())
}

async fn answer(request: Request<Incoming>, store: &Store) -> Result<Response<Full<Bytes>>, Infallible> {
    let status = match take(request, store).await {
        Ok(()) => StatusCode::OK,
        Err(status) => status,
    };
    // No message of protobuf with nothing to say has any bytes.
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    Ok(response)
}

async fn take(request: Request<Incoming>, store: &Store) -> Result<(), StatusCode> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    let gzip = match request.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    };
    let body = Limited::new(request.into_body(), MOST).collect().await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
    let Some(told) = decode(&body, gzip) else {
        store.add(Vec::new(), 1);
        return Err(StatusCode::BAD_REQUEST);
    };
    store.add(told, 0);
    Ok(())
}

/// The requests of an export; `None`: it is none.
fn decode(body: &[u8], gzip: bool) -> Option<Vec<Told>> {
    let mut decoded = Vec::new();
    let bytes = if gzip { gunzip(body, &mut decoded).ok()? } else { body };
    let export = ExportTraceServiceRequest::decode(bytes).ok()?;
    let spans = export.resource_spans.iter().flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans);
    Some(spans.map(Told::of).collect())
}

fn gunzip<'a>(body: &[u8], decoded: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    // One byte more than there may be, to be told from what just fits.
    MultiGzDecoder::new(body).take(MOST_DECODED + 1).read_to_end(decoded)?;
    if decoded.len() as u64 > MOST_DECODED { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    fn export(spans: usize) -> Vec<u8> {
        let scope_spans = vec![ScopeSpans { spans: vec![Span::default(); spans], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("into memory")
    }

    #[test]
    fn exports_are_read_and_nothing_else_is() {
        let spans = |body: &[u8], gzip| decode(body, gzip).map(|told| told.len());
        assert_eq!(spans(&export(3), false), Some(3));
        assert_eq!(spans(&gzip(&export(2)), true), Some(2));
        assert_eq!(spans(&[], false), Some(0));
        assert_eq!(spans(&export(1), true), None);
        assert_eq!(spans(b"\xff\xff\xff", false), None);
        assert_eq!(spans(&gzip(&export(2))[..20], true), None);
        assert_eq!(spans(&gzip(&vec![0; 17 << 20]), true), None, "a bomb");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = export(2);
        for end in 0..whole.len() {
            let _ = decode(&whole[..end], false);
        }
        for index in 0..whole.len() {
            for byte in [0, 0x0a, 0x7f, 0xff] {
                let mut wrong = whole.clone();
                wrong[index] = byte;
                let _ = decode(&wrong, false);
            }
        }
    }

    #[tokio::test]
    async fn what_is_posted_to_the_socket_is_kept() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inspector.sock");
        let store = Arc::new(Store::default());
        tokio::spawn(serve(crate::state::socket::bind(&path).expect("a socket"), Arc::clone(&store)));
        let body = gzip(&export(3));
        for (target, encoding, expected) in [
            (PATH, "gzip", "HTTP/1.1 200"),
            ("/other", "gzip", "HTTP/1.1 404"),
            (PATH, "br", "HTTP/1.1 415"),
            (PATH, "identity", "HTTP/1.1 400"),
        ] {
            let mut stream = UnixStream::connect(&path).await.expect("a connection");
            let head = format!(
                "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.expect("written");
            stream.write_all(&body).await.expect("written");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with(expected), "{target} {encoding}: {answer}");
        }
        let news = store.after(0);
        assert_eq!((news.rows.len(), news.counts.unreadable), (3, 1));
    }
}
