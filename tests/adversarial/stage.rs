//! What a row works with: the world, the proxy, and an agent that comes by the way of the variant.

use std::sync::Arc;
use std::time::Duration;

use harness::client::{Agent, Failure, Http, Way};
use harness::gateway::{Gateway, HOST};
use harness::provider::Received;
use harness::scenario::KEY;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::row::{Port, Variant};
use crate::subject::keyward::SECOND_KEY;
use crate::subject::{Kind, Subject};
use crate::wire::http1::{Http1, Io};
use crate::wire::http2::Session;
use crate::wire::{Answer, Cut, Reply, Request, Transcript};
use crate::world::World;

/// How long what is on its way to an upstream may take to show there, when nothing must arrive.
const SETTLE: Duration = Duration::from_millis(100);

/// How long somebody else's proxy may stay silent: one that never answers is no reason to wait long in each row.
const FOREIGN_PATIENCE: Duration = Duration::from_secs(4);

/// A stream that an agent has opened.
pub(crate) type Stream = TlsStream<TcpStream>;

/// What a row works with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) subject: Arc<Subject>,
    pub(crate) variant: Variant,
    pub(crate) seen: Transcript,
}

impl Stage {
    /// The protocol of the variant.
    pub(crate) fn http(&self) -> Http {
        match self.variant {
            Variant::On(http, _) => http,
            Variant::Once => Http::One,
        }
    }

    /// An agent that comes by the way of the variant and wants the credentialed host.
    pub(crate) fn agent(&self) -> Agent {
        self.agent_for(HOST)
    }

    /// An agent that comes by the way of the variant, and names this host in CONNECT and SNI.
    pub(crate) fn agent_for(&self, host: &str) -> Agent {
        self.agent_with(&format!("{host}:443"), Some(host))
    }

    /// An agent with a CONNECT target (nothing says it at the transparent port) and an SNI of the row's choice.
    pub(crate) fn agent_with(&self, target: &str, sni: Option<&str>) -> Agent {
        let way = match (self.variant, self.subject.transparent) {
            (Variant::On(_, Port::Transparent), Some(address)) => Way::Direct(address),
            _ => Way::Proxy(self.subject.proxy, target.into()),
        };
        Agent::new(way, self.http(), HOST, &self.subject.ca).sni(sni)
    }

    /// Sends a request on a fresh connection of the agent's, in the protocol of the variant.
    pub(crate) async fn send(&self, agent: &Agent, request: &Request) -> Reply {
        match agent.open().await {
            Err(failure) => self.failed(failure),
            Ok(stream) if agent.http == Http::Two => self.http2_over(stream).await.ask(request).await.into(),
            Ok(stream) => self.http1_over(stream).ask(&request.to_http1()).await.into(),
        }
    }

    /// Sends a request as an agent that wants the credentialed host.
    pub(crate) async fn ask(&self, request: &Request) -> Reply {
        self.send(&self.agent(), request).await
    }

    /// Sends bytes over a fresh intercepted HTTP/1.1 connection, and reads one answer.
    pub(crate) async fn ask_bytes(&self, bytes: &[u8]) -> Reply {
        match self.http1().await {
            Ok(mut http) => http.ask(bytes).await.into(),
            Err(reply) => reply,
        }
    }

    /// Sends bytes to the proxy port as they are, outside any tunnel, and reads one answer.
    pub(crate) async fn ask_proxy(&self, bytes: &[u8]) -> Reply {
        match TcpStream::connect(self.subject.proxy).await {
            Ok(stream) => self.http1_over(stream).ask(bytes).await.into(),
            Err(error) => self.failed(Failure::Connect(error)),
        }
    }

    /// An open HTTP/1.1 connection for the credentialed host; else what became of it.
    pub(crate) async fn http1(&self) -> Result<Http1<Stream>, Reply> {
        let agent = self.agent();
        let stream = agent.open().await.map_err(|failure| self.failed(failure))?;
        Ok(self.http1_over(stream))
    }

    /// An open HTTP/2 connection for the credentialed host; else what became of it.
    pub(crate) async fn http2(&self) -> Result<Session<Stream>, Reply> {
        let agent = self.agent();
        let stream = agent.open().await.map_err(|failure| self.failed(failure))?;
        Ok(self.http2_over(stream).await)
    }

    /// Speaks HTTP/1.1 over an open connection.
    pub(crate) fn http1_over<S: Io>(&self, stream: S) -> Http1<S> {
        let http = Http1::new(stream, self.seen.clone());
        if self.subject.kind == Kind::Foreign { http.waiting(FOREIGN_PATIENCE) } else { http }
    }

    /// Speaks HTTP/2 over an open connection.
    pub(crate) async fn http2_over(&self, stream: Stream) -> Session<Stream> {
        Session::start(stream, self.seen.clone()).await
    }

    /// A good request succeeds by this very way, and the provider receives our key, once. Takes the request.
    pub(crate) async fn good(&self) -> Received {
        let reply = self.ask(&Request::messages()).await;
        assert_eq!(reply.status(), 200, "a good request did not succeed: {reply:?}");
        let received = self.world.anthropic.only_request();
        assert_eq!(received.values("x-api-key"), [KEY], "a good request did not carry the key");
        received
    }

    /// The proxy did not do what was asked: it refused, or, if it is not Keyward, never got to an end of what is no
    /// whole request to it. Only for rows that look at the upstream as well.
    pub(crate) fn declined(&self, reply: &Reply) -> bool {
        let waits = self.subject.kind == Kind::Foreign && *reply == Reply::Cut(Cut::Silent);
        reply.is_refusal() || waits
    }

    /// The agent was refused. From Keyward that is this status, and where it has a reason, this one; from others any
    /// refusal will do. A connection that ended before an answer counts only where no status is expected (0).
    #[track_caller]
    pub(crate) fn refused(&self, reply: &Reply, status: u16, reason: &str) {
        assert!(reply.is_refusal(), "not refused: {reply:?}");
        if self.subject.kind == Kind::Keyward {
            let said = reply.answered().map_or((0, ""), |answer| (answer.status, answer.reason()));
            assert_eq!(said, (status, reason), "refused in another way: {reply:?}");
        }
    }

    /// The agent was refused: from Keyward with one of these statuses (0: without an answer), and any reason.
    #[track_caller]
    pub(crate) fn refused_with_any(&self, reply: &Reply, statuses: &[u16]) {
        assert!(self.declined(reply), "not refused: {reply:?}");
        if self.subject.kind == Kind::Keyward {
            let status = reply.answered().map_or(0, |answer| answer.status);
            assert!(statuses.contains(&status), "refused with {status}, not {statuses:?}: {reply:?}");
        }
    }

    /// No request reached any provider, and no byte of one.
    pub(crate) async fn nothing_upstream(&self) {
        tokio::time::sleep(SETTLE).await;
        for (name, site) in self.world.sites() {
            let requests = site.provider.requests();
            assert!(requests.is_empty(), "{name} received {}", summary(&requests));
            let bytes = site.http1_bytes();
            assert!(bytes.is_empty(), "{name} received {:?}", String::from_utf8_lossy(&bytes));
        }
        let plain = self.world.cleartext.connections();
        assert!(plain.is_empty(), "{} connections arrived in the clear", plain.len());
    }

    /// Keyward itself, where it is what is attacked.
    #[track_caller]
    pub(crate) fn gateway(&self) -> &Gateway {
        self.subject.gateway.as_ref().expect("only Keyward runs this row")
    }

    /// What holds after every case: no key went to anyone but its provider, in the clear, or back to an agent.
    pub(crate) async fn no_key_is_loose(&self) {
        tokio::time::sleep(SETTLE / 4).await;
        for key in [KEY, SECOND_KEY] {
            assert!(!self.seen.mentions(key), "the agent received a key");
            assert!(!self.world.cleartext.saw(key), "a key was sent in the clear");
            for (name, site) in self.world.sites() {
                let owner = if key == KEY { HOST } else { crate::world::SECOND };
                assert!(name == owner || !site.saw(key), "{name} received the key of {owner}");
            }
        }
    }

    fn failed(&self, failure: Failure) -> Reply {
        let text = format!("{failure:?}");
        match failure {
            Failure::Refused(response) => {
                let (status, fields, body) = (response.status, response.headers, response.body.to_vec());
                let answer = Answer { status, fields, body };
                self.seen.add(format!("{:?}\n", answer.fields).as_bytes());
                self.seen.add(&answer.body);
                Reply::Refused(answer)
            }
            _ => Reply::NoHandshake(text),
        }
    }
}

fn summary(requests: &[Received]) -> String {
    let lines =
        requests.iter().map(|request| format!("{} {}{}", request.method, request.authority, request.path));
    lines.collect::<Vec<_>>().join(", ")
}
