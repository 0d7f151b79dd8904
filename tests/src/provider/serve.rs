//! Connections: TLS, then HTTP/1.1 or HTTP/2 as ALPN chose, each request recorded before it is answered.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::answer::answer;
use super::body::Answer;
use super::log::{Connection, Received, lock};
use super::tee::Tee;
use super::{Shared, raw};

/// Serves every connection until this task is aborted; its connections end with it.
pub(super) async fn accept(listener: TcpListener, tls: Arc<rustls::ServerConfig>, shared: Arc<Shared>) {
    let acceptor = TlsAcceptor::from(tls);
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        shared.log.count_accepted();
        connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    // Small answers must not wait for acknowledgements: tests measure when an event arrives.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let session = stream.get_ref().1;
    let facts = Connection {
        sni: session.server_name().map(str::to_owned),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        ..Connection::default()
    };
    let speaks_h2 = facts.alpn.as_deref() == Some("h2");
    let (number, record) = shared.log.add_connection(facts);
    let io = TokioIo::new(Tee::new(stream, Arc::clone(&record)));
    let reader = Arc::new(Reader { number, record, cursor: Mutex::new(0), shared });
    let service = service_fn(move |request| serve(Arc::clone(&reader), request));
    // How a connection ends is the client's business; what matters is in the record.
    if speaks_h2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

/// What reading the requests of one connection needs.
struct Reader {
    number: usize,
    record: Arc<Mutex<Connection>>,
    /// Where the next HTTP/1.1 request starts in the record's bytes.
    cursor: Mutex<usize>,
    shared: Arc<Shared>,
}

async fn serve(reader: Arc<Reader>, request: Request<Incoming>) -> Result<Response<Answer>, hyper::Error> {
    let received = reader.receive(request).await?;
    reader.shared.log.add_request(received.clone());
    Ok::<_, Infallible>(answer(&received, &reader.shared).await).map_err(|never| match never {})
}

impl Reader {
    async fn receive(&self, request: Request<Incoming>) -> Result<Received, hyper::Error> {
        let (head, body) = request.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().map(lines).unwrap_or_default();
        let body = collected.to_bytes().to_vec();
        let headers = if head.version == Version::HTTP_2 { lines(&head.headers) } else { self.raw_lines() };
        let host = head.headers.get("host").map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        Ok(Received {
            connection: self.number,
            version: format!("{:?}", head.version),
            method: head.method.to_string(),
            authority: head.uri.authority().map(ToString::to_string).or(host).unwrap_or_default(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers,
            trailers,
            body,
        })
    }

    /// The header lines of the request just read, as they stood on the wire.
    fn raw_lines(&self) -> raw::Lines {
        let record = lock(&self.record);
        let mut cursor = lock(&self.cursor);
        let rest = &record.bytes[*cursor..];
        let (lines, length) = raw::request(rest).expect("a request that the server library accepted");
        *cursor += length;
        lines
    }
}

fn lines(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
