//! H6: the query of a request whose policy puts the credential there. Every spelling of the parameter goes, ours comes
//! once, and no other byte moves.

use harness::objects;
use harness::scenario::KEY;

use super::{OWN, only_ours};
use crate::row::{EVERY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;

/// The key of the worked example as the parameter `key` as well.
fn policy() -> String {
    let spec = "secretKey: api-key, target: QueryParam, queryParamName: key";
    objects::policy_on("anthropic", "query", "anthropic-credentials", spec)
}

pub(super) fn rows() -> Vec<Row> {
    let row = |id, what, case: fn(Stage) -> super::Case| {
        Row::new(id, what, EVERY, case)
            .under(Scenario::default().manifest("query.yaml", &policy()))
            .beyond_others("needs a credential in the query")
    };
    vec![
        row(
            "H6.names",
            "the parameter encoded, repeated, valueless, in any case: one of ours goes on",
            |stage| Box::pin(names(stage)),
        ),
        row("H6.bytes", "other parameters in odd forms: their bytes go on as they are", |stage| {
            Box::pin(bytes(stage))
        }),
        row("H6.fragment", "a fragment behind the query: refused, or not sent on", |stage| {
            Box::pin(fragment(stage))
        }),
    ]
}

/// What is sent behind the path, and what arrives before our parameter.
async fn check(stage: &Stage, sent: &str, kept: &str) {
    let path = format!("/v1/messages{}", sent.replace("OWN", OWN));
    let reply = stage.ask(&Request::messages().path(path)).await;
    assert_eq!(reply.status(), 200, "{sent}: {reply:?}");
    let received = stage.world.anthropic.only_request();
    let separator = if kept.is_empty() { "?" } else { "&" };
    assert_eq!(received.path, format!("/v1/messages{kept}{separator}key={KEY}"), "{sent}");
    only_ours(&received, sent);
}

async fn names(stage: Stage) {
    for (sent, kept) in [
        ("", ""),
        ("?", ""),
        ("?key=OWN", ""),
        ("?key", ""),
        ("?key=", ""),
        ("?key=OWN&key=OWN", ""),
        ("?KEY=OWN&kEy", ""),
        ("?k%65y=OWN", ""),
        ("?%6b%65%79=OWN&a=1", "?a=1"),
        ("?k%2565y=OWN&a", "?a"),
        ("?a=1&key=OWN&b=2", "?a=1&b=2"),
        ("?a;key=OWN;b", "?a;b"),
        ("?key[]=OWN&a", "?a"),
        ("?key%00=OWN&a", "?a"),
        ("?+key=OWN&a", "?a"),
        ("?key%20=OWN&a", "?a"),
    ] {
        check(&stage, sent, kept).await;
    }
}

async fn bytes(stage: Stage) {
    for query in [
        "?a=b+c&d=%2B&e=%zz",
        "?mykey=1&keys=2&key2&ke=y",
        "?a&&b&",
        "?=&==",
        "?b=2&a=1&b=1",
        "?a=%C3%A9&%e2%82%ac",
        "?x=1?key&y=/../%2e%2e//",
        "?beta=true",
    ] {
        check(&stage, query, query).await;
    }
}

async fn fragment(stage: Stage) {
    for path in ["/v1/messages#?key=OWN", "/v1/messages?a#key=OWN", "/v1/messages?a#&key=OWN"] {
        let reply = stage.ask(&Request::messages().path(path.replace("OWN", OWN))).await;
        super::refused(&stage, path, &reply, &[0, 400]).await;
    }
}
