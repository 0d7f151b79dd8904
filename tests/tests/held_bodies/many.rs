//! Many bodies held at once: a worker holds 64 MiB of them and refuses more, serves what it need not hold, and holds
//! again once they have ended.

use std::time::Duration;

use bytes::Bytes;
use harness::client::upload::{Length, Upload, http2_head};
use harness::client::{Agent, Http, Request};
use tokio::time::{sleep, timeout};

use super::{World, arrived, held, hosts};

/// Of each body, but for its last byte. The streams of one connection, which one worker has, come to more than it
/// may hold.
const EACH: usize = 700 << 10;
const STREAMS: usize = 99;
/// So many fit.
const FIT: usize = (64 << 20) / (EACH + 1);

type Sender = h2::client::SendRequest<Bytes>;

async fn connect(agent: &Agent) -> (Sender, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = agent.open().await.expect("a connection");
    let (sender, connection) =
        h2::client::Builder::new().max_send_buffer_size(256 << 20).handshake(stream).await.expect("HTTP/2");
    (sender, tokio::spawn(connection))
}

async fn status(answer: &mut h2::client::ResponseFuture) -> Option<(u16, String)> {
    let answer = timeout(Duration::from_millis(1), answer).await.ok()?.expect("an answer");
    let reason = answer.headers().get("x-keyward-reason").and_then(|value| value.to_str().ok());
    Some((answer.status().as_u16(), reason.unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn a_worker_holds_so_much_and_serves_others_beside() {
    let world = World::start(&[]).await;
    let host = &hosts()[0];
    let (sender, driver) = connect(&world.gateway.agent(Http::Two, host)).await;
    let whole = held(host, EACH + 1);
    let head = Request { body: Vec::new(), ..whole.clone() };
    for round in 0..2 {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let mut sender = sender.clone().ready().await.expect("an open connection");
            let (answer, mut stream) =
                sender.send_request(http2_head(&head), false).expect("an open connection");
            stream.send_data(whole.body[..EACH].to_vec().into(), false).expect("an open stream");
            streams.push((answer, stream));
        }
        let mut refused = 0;
        let end = tokio::time::Instant::now() + Duration::from_secs(30);
        while refused < STREAMS - FIT {
            assert!(tokio::time::Instant::now() < end, "round {round}: {refused} of {STREAMS} are refused");
            let mut still = Vec::new();
            for (mut answer, stream) in streams {
                match status(&mut answer).await {
                    Some(told) => {
                        assert_eq!(told, (503, "overloaded".to_owned()), "round {round}");
                        refused += 1;
                    }
                    None => still.push((answer, stream)),
                }
            }
            streams = still;
        }
        // On the same connection, and so on the same worker, what is not held is served; so it is everywhere else.
        let plain = Request { body: vec![b'x'; 100 << 10], ..Request::new("POST", host, "/v1/plain") };
        let answer =
            Upload::new(plain.clone(), Length::Unknown).over(sender.clone()).await.expect("an answer");
        assert_eq!(answer.status, 200, "round {round}: {answer:?}");
        arrived(&world, &plain, "beside");
        for agent in [
            world.gateway.agent(Http::One, harness::gateway::HOST),
            world.gateway.agent(Http::Two, harness::gateway::HOST),
        ] {
            assert_eq!(
                agent.send(&Request::messages()).await.expect("an answer").status,
                200,
                "round {round}"
            );
        }
        sleep(Duration::from_millis(200)).await;
        drop(world.provider(host).take_requests());
        assert!((FIT - 1..=FIT).contains(&streams.len()), "round {round}: {} are held", streams.len());
        for (_, stream) in &mut streams {
            stream.send_data(whole.body[EACH..].to_vec().into(), true).expect("an open stream");
        }
        let count = streams.len();
        for (answer, _) in streams {
            let answer = timeout(Duration::from_secs(30), answer).await.expect("in time").expect("an answer");
            assert_eq!(answer.status(), 200, "round {round}");
        }
        let received = world.provider(host).take_requests();
        assert!(
            received.len() == count && received.iter().all(|request| request.body == whole.body),
            "round {round}"
        );
    }
    driver.abort();
}
