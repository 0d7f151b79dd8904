//! D6 and D12: where a provider's answer would lead the agent.

use harness::scenario::KEY;

use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::{HOSTILE, OTHER};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D6.redirect",
            "the provider redirects to another host: the agent's to follow",
            EVERY,
            redirect,
        ),
        Row::new(
            "D6.followed",
            "the agent follows a redirect: the new request is matched afresh",
            EVERY,
            followed,
        ),
        Row::new("D12.alt-svc", "HTTP/3 offered by a provider does not reach the agent", EVERY, alt_svc),
    ]
}

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

async fn redirect(stage: Stage) {
    let location = format!("https://{HOSTILE}/v1/messages");
    for status in STATUSES {
        stage.world.anthropic.provider.behave(|behaviour| {
            (behaviour.status, behaviour.location) = (Some(status), Some(location.clone()));
        });
        let reply = stage.ask(&Request::messages()).await;
        let answer = reply.answered().expect("an answer");
        assert_eq!((answer.status, answer.values("location")), (status, vec![location.as_str()]));
        assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY]);
        assert_eq!(stage.world.hostile.accepted(), 0, "the redirect was followed");
    }
}

async fn followed(stage: Stage) {
    let reply = stage.send(&stage.agent_for(HOSTILE), &Request::messages().authority(HOSTILE)).await;
    assert_eq!(reply.status(), 200, "{reply:?}");
    let received = stage.world.hostile.only_request();
    assert!(received.values("x-api-key").is_empty(), "the key followed the redirect");
}

/// The providers of the suite always offer it.
async fn alt_svc(stage: Stage) {
    for host in [harness::gateway::HOST, OTHER] {
        let reply = stage.send(&stage.agent_for(host), &Request::messages().authority(host)).await;
        let answer = reply.answered().expect("an answer");
        assert_eq!(answer.values("server"), ["provider"], "not the provider's answer: {answer:?}");
        assert!(answer.values("alt-svc").is_empty(), "{host}: {answer:?}");
        stage.world.anthropic.take_requests();
    }
}
