//! The credential is not the only one, or not whole: H1 to H11.

mod duplicates;
mod elsewhere;
mod held;
mod hop;
mod hpack;
mod lines;
mod methods;
mod models;
mod paths;
mod query;
mod secrets;
mod signed;
mod trailers;

use harness::provider::Received;
use harness::scenario::KEY;

use crate::row::Row;
use crate::stage::Stage;
use crate::subject::Kind;
use crate::wire::Reply;

pub(super) fn rows() -> Vec<Row> {
    let groups = [
        duplicates::rows(),
        lines::rows(),
        hpack::rows(),
        elsewhere::rows(),
        hop::rows(),
        trailers::rows(),
        methods::rows(),
        paths::rows(),
        query::rows(),
        secrets::rows(),
        signed::rows(),
        models::rows(),
        held::rows(),
    ];
    groups.into_iter().flatten().collect()
}

type Case = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A credential of the agent's own.
const OWN: &str = "sk-agents-own-account-0123456789";

/// What becomes of a request at Keyward. Of another proxy either will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes on, with our key and no other.
    Served,
    /// It is refused with one of these statuses (0: without an answer), and nothing goes on.
    Refused(&'static [u16]),
}

/// Judges what became of a request, at the agent and at the provider.
async fn check(stage: &Stage, case: &str, reply: &Reply, fate: Fate) {
    let fate = match stage.subject.kind {
        Kind::Keyward => fate,
        _ if stage.declined(reply) => Fate::Refused(&[]),
        _ => Fate::Served,
    };
    match fate {
        Fate::Served => {
            assert_eq!(reply.status(), 200, "{case}: {reply:?}");
            only_ours(&stage.world.anthropic.only_request(), case);
            stage.world.anthropic.forget();
        }
        Fate::Refused(statuses) => {
            refused(stage, case, reply, statuses).await;
        }
    }
}

/// The request was refused, at any proxy; at Keyward with one of these statuses (0: without an answer).
async fn refused(stage: &Stage, case: &str, reply: &Reply, statuses: &[u16]) {
    let status = reply.answered().map_or(0, |answer| answer.status);
    assert!(stage.declined(reply), "{case}: not refused: {reply:?}");
    assert!(stage.subject.kind != Kind::Keyward || statuses.contains(&status), "{case}: {reply:?}");
    stage.nothing_upstream().await;
}

/// The provider received our key under its name, once, in whatever spelling, and nothing of the agent's.
fn only_ours(received: &Received, case: &str) {
    let same = |name: &str| name.replace('_', "-").eq_ignore_ascii_case("x-api-key");
    let fields = received.headers.iter().chain(&received.trailers);
    let values: Vec<_> = fields.filter(|(name, _)| same(name)).map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, [KEY], "{case}: what the provider received under x-api-key");
    assert!(!received.mentions(OWN), "{case}: the agent's own credential went upstream");
}
