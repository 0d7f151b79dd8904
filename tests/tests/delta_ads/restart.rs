//! The controller stops and comes back, with nothing but its certificate authority: no request notices.

use controller::xds::Kind;
use harness::client::Http;
use harness::gateway::HOST;
use harness::scenario::KEY;

use super::hammer::Hammer;
use super::rig::{OTHER, Rig, request};
use super::tee::Sent;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_stops_and_starts_again_fails_no_request_and_sends_only_leaves() {
    let (mut rig, world) = Rig::with_example().await;
    rig.assert_serves(HOST, KEY).await;
    let hammer = Hammer::start(&rig, HOST).await;
    hammer.more(20).await;
    rig.stop_controller().await;
    let from = rig.tee.len();
    hammer.more(50).await;
    assert_eq!(rig.tee.len(), from, "something was said while the controller was away");

    rig.start_controller();
    rig.publish(&world);
    rig.tee.introduced(from).await;
    rig.tee.answered(from, Kind::Secret, HOST).await;
    rig.settled(&world).await;
    hammer.more(20).await;
    // Made anew, because the controller keeps no leaf; everything else has the same bytes and is not sent.
    assert_eq!(rig.tee.sent(from), [Sent::Update(Kind::Secret, HOST.to_owned())].into());
    let answer = rig.agent(Http::One, OTHER).await.send(&request(OTHER)).await.expect("a new leaf");
    assert_eq!(answer.status, 503, "it has a leaf but no address");
    hammer.stop().await;

    let changed = rig.example("sk-ant-second-0123456789abcdef");
    rig.publish(&changed);
    rig.settled(&changed).await;
    rig.assert_serves(HOST, "sk-ant-second-0123456789abcdef").await;
    rig.end().await;
}
