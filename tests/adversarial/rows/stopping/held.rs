//! A7, and A2 where bodies are held: so many to be signed at once that they would fill the gateway.

use std::time::Duration;

use harness::client::Http;
use harness::client::upload::http2_head;
use harness::gateway::NAME;
use harness::objects;
use harness::provider::aws::REGION;
use harness::scenario::KEY;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::neighbour::Neighbour;
use crate::row::{EVERY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::OTHER;

const WHY: &str = "needs a host whose requests are signed";
/// What is sent of each body, all but its last byte.
const EACH: usize = 700 << 10;
/// What one worker of Envoy holds at most.
const WORKER: usize = 64 << 20;

/// Requests to a second host are signed, with the key of the suite as the secret: it may be seen nowhere at all.
fn objects() -> String {
    [
        objects::aws_keys("aws", "AKIDEXAMPLE", KEY, None),
        objects::route("signed", &[NAME], "{provider: custom, hosts: [other.example]}"),
        objects::policy("signed", "aws", &objects::signing(REGION, "bedrock")),
    ]
    .concat()
}

pub(super) fn rows() -> Vec<Row> {
    let signed = || Scenario::default().manifest("signed.yaml", &objects());
    vec![
        Row::new(
            "A7.held",
            "hundreds of bodies held to be signed: 503 above a bound, others are served, and then all is well",
            EVERY,
            held,
        )
        .under(signed())
        .only_keyward(WHY)
        .slow(),
        Row::new("A2.held", "40 bodies of 12 MiB to be signed: 413, others are served", EVERY, large)
            .under(signed())
            .only_keyward(WHY)
            .slow(),
    ]
}

fn head(length: usize) -> Request {
    Request::new("POST", "/model/claude/invoke").authority(OTHER).field("content-length", length.to_string())
}

/// What became of a body of which all but the last byte was sent.
enum Held {
    Refused(u16, String),
    /// It waits: what ends it, and the status that it then gets.
    Waiting(std::pin::Pin<Box<dyn Future<Output = u16> + Send>>),
}

/// Long enough that a refusal has come if it comes.
const SETTLED: Duration = Duration::from_secs(6);

async fn hold_http1(stage: Stage) -> Held {
    let mut stream = stage.agent_for(OTHER).open().await.expect("a connection");
    let bytes = [head(EACH + 1).to_http1(), vec![b'x'; EACH]].concat();
    // One that is refused need not be read.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    let mut http = stage.http1_over(stream);
    match http.answer_within(SETTLED, true).await {
        Ok(answer) => Held::Refused(answer.status, answer.reason().to_owned()),
        Err(_) => Held::Waiting(Box::pin(async move {
            http.write(b"x").await;
            http.answer(true).await.map_or(0, |answer| answer.status)
        })),
    }
}

async fn hold_http2(sender: h2::client::SendRequest<bytes::Bytes>) -> Held {
    let request = harness::client::Request::new("POST", OTHER, "/model/claude/invoke");
    let request = request.header("content-length", &(EACH + 1).to_string());
    let mut sender = sender.ready().await.expect("an open connection");
    let (mut answer, mut stream) = sender.send_request(http2_head(&request), false).expect("a stream");
    stream.send_data(vec![b'x'; EACH].into(), false).expect("an open stream");
    match timeout(SETTLED, &mut answer).await {
        Ok(answer) => {
            let answer = answer.expect("an answer");
            let reason = answer.headers().get("x-keyward-reason").and_then(|value| value.to_str().ok());
            Held::Refused(answer.status().as_u16(), reason.unwrap_or_default().to_owned())
        }
        Err(_) => Held::Waiting(Box::pin(async move {
            let _ = stream.send_data("x".into(), true);
            answer.await.map_or(0, |answer| answer.status().as_u16())
        })),
    }
}

async fn held(stage: Stage) {
    let neighbour = Neighbour::start(&stage).await;
    let mut all = JoinSet::new();
    let mut certain = true;
    let mut driver = None;
    match stage.http() {
        Http::Two => {
            // The streams of a connection have one worker.
            let stream = stage.agent_for(OTHER).open().await.expect("a connection");
            let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            driver = Some(tokio::spawn(connection));
            (0..99).for_each(|_| drop(all.spawn(hold_http2(sender.clone()))));
        }
        Http::One => {
            let workers = std::thread::available_parallelism().map_or(1, usize::from);
            let enough = (workers * WORKER).div_ceil(EACH) + 20;
            certain = enough <= 400;
            (0..enough.min(400)).for_each(|_| drop(all.spawn(hold_http1(stage.clone()))));
        }
    }
    let (mut refused, mut waiting) = (0, Vec::new());
    while let Some(one) = all.join_next().await {
        match one.expect("no panic") {
            Held::Refused(status, reason) => {
                assert_eq!((status, reason.as_str()), (503, "overloaded"));
                refused += 1;
            }
            Held::Waiting(rest) => waiting.push(rest),
        }
    }
    assert!(refused > 0 || !certain, "none of {} was refused: the row tests nothing", waiting.len());
    assert!(waiting.len() > 60, "only {} of {} were held", waiting.len(), waiting.len() + refused);
    assert!(stage.world.other.take_requests().is_empty(), "a body went upstream before it was whole");
    let count = waiting.len();
    let mut ending = waiting.into_iter().collect::<JoinSet<_>>();
    while let Some(status) = ending.join_next().await {
        assert_eq!(status.expect("no panic"), 200, "one that was held");
    }
    neighbour.end(&stage).await;
    let received = stage.world.other.take_requests();
    let whole = |request: &harness::provider::Received| {
        request.body.len() == EACH + 1 && request.values("authorization").len() == 1
    };
    assert!(received.len() == count && received.iter().all(whole), "{} of {count} arrived", received.len());
    if let Some(driver) = driver {
        driver.abort();
    }
    for _ in 0..8 {
        let request =
            Request::new("POST", "/model/claude/invoke").authority(OTHER).body(vec![b'x'; 100 << 10]);
        let reply = stage.send(&stage.agent_for(OTHER), &request).await;
        assert_eq!(reply.status(), 200, "afterwards: {reply:?}");
    }
}

async fn large(stage: Stage) {
    let before = super::memory(&stage);
    let neighbour = Neighbour::start(&stage).await;
    let mut all = JoinSet::new();
    for number in 0..40 {
        let stage = stage.clone();
        all.spawn(async move {
            use harness::client::upload::{Length, Upload};
            let mut request = harness::client::Request::new("POST", OTHER, "/model/claude/invoke");
            request.body = vec![b'x'; 12 << 20];
            let length = if number % 4 == 0 { Length::Announced } else { Length::Unknown };
            let answer = Upload::new(request, length).send(&stage.agent_for(OTHER)).await.expect("an answer");
            (answer.status, answer.reason().to_owned())
        });
    }
    for told in all.join_all().await {
        let expected = [(413, "too_large"), (503, "overloaded")];
        assert!(expected.contains(&(told.0, told.1.as_str())), "{told:?}");
    }
    neighbour.end(&stage).await;
    assert!(stage.world.other.take_requests().is_empty(), "a body went upstream");
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let grown = super::memory(&stage).saturating_sub(before);
    assert!(grown < 2 * workers * WORKER + (64 << 20), "the gateway holds {grown} bytes more");
}
