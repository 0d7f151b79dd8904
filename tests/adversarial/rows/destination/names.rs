//! D1: SNI, authority and CONNECT target disagree.

use harness::gateway::HOST;

use crate::row::{EVERY, PROXY, Row, TRANSPARENT};
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::{HOSTILE, OTHER};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D1.target-sni",
            "CONNECT to another host, SNI and authority of the credentialed one",
            PROXY,
            target,
        ),
        Row::new(
            "D1.sni",
            "SNI of another host, CONNECT target and authority of the credentialed one",
            PROXY,
            sni,
        ),
        Row::new(
            "D1.authority",
            "authority of another host, the rest names the credentialed one",
            EVERY,
            authority,
        ),
        Row::new("D1.hidden", "authority of the credentialed host, the rest names another", EVERY, hidden),
        Row::new(
            "D1.forged",
            "the same, and the agent writes what only our own listener may say of a connection",
            EVERY,
            forged,
        ),
        Row::new(
            "D1.transparent",
            "SNI and authority disagree at the transparent port",
            TRANSPARENT,
            transparent,
        ),
        Row::new(
            "D1.second-request",
            "the names agree in the first request of a connection only",
            EVERY,
            second,
        ),
    ]
}

/// The names that an attacker may put beside that of the credentialed host.
const OTHERS: [&str; 2] = [OTHER, HOSTILE];

/// Tries one combination of names; it must be misdirected, and reach nobody.
async fn check(stage: &Stage, target: &str, sni: &str, authority: &str) {
    let agent = stage.agent_with(&format!("{target}:443"), Some(sni));
    let reply = stage.send(&agent, &Request::messages().authority(authority)).await;
    stage.refused(&reply, 421, "misdirected");
    stage.nothing_upstream().await;
}

async fn target(stage: Stage) {
    for other in OTHERS {
        check(&stage, other, HOST, HOST).await;
    }
}

async fn sni(stage: Stage) {
    for other in OTHERS {
        check(&stage, HOST, other, HOST).await;
    }
}

async fn authority(stage: Stage) {
    for other in OTHERS {
        check(&stage, HOST, HOST, other).await;
    }
}

async fn forged(stage: Stage) {
    let agree = format!("{HOST}|{HOST}:443");
    for other in OTHERS {
        let agent = stage.agent_with(&format!("{other}:443"), Some(other));
        let request = Request::messages().authority(HOST).field("x-keyward-connection", &agree);
        let reply = stage.send(&agent, &request.field("x_keyward_connection", &agree)).await;
        stage.refused(&reply, 421, "misdirected");
        stage.nothing_upstream().await;
    }
}

async fn hidden(stage: Stage) {
    for other in OTHERS {
        check(&stage, other, other, HOST).await;
    }
}

async fn transparent(stage: Stage) {
    for (sni, authority) in [(HOST, OTHER), (OTHER, HOST), (HOSTILE, OTHER)] {
        check(&stage, sni, sni, authority).await;
    }
}

async fn second(stage: Stage) {
    let next = Request::messages().authority(OTHER);
    let reply = if stage.http() == harness::client::Http::One {
        let mut http = stage.http1().await.expect("a connection");
        assert_eq!(http.ask(&Request::messages().to_http1()).await.map(|answer| answer.status), Ok(200));
        stage.world.anthropic.forget();
        http.ask(&next.to_http1()).await
    } else {
        let mut http = stage.http2().await.expect("a connection");
        assert_eq!(http.ask(&Request::messages()).await.map(|answer| answer.status), Ok(200));
        stage.world.anthropic.forget();
        http.ask(&next).await
    };
    stage.refused(&reply.into(), 421, "misdirected");
    stage.nothing_upstream().await;
}
