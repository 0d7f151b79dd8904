//! It leaks back: L1 to L7.

use harness::provider::Echo;
use harness::scenario::KEY;

use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::subject::Leak;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "L1.headers",
            "the provider gives the key back in headers, in every form: scrubbed",
            EVERY,
            headers,
        )
        .proved_by(Leak::Back),
    ]
}

async fn headers(stage: Stage) {
    for form in Echo::ALL {
        stage.world.anthropic.provider.behave(|behaviour| behaviour.echo = vec![form]);
        let reply = stage.ask(&Request::messages()).await;
        assert_eq!(reply.status(), 200, "{form:?}: {reply:?}");
        assert_eq!(stage.world.anthropic.only_request().values("x-api-key"), [KEY], "{form:?}");
        let answer = reply.answered().expect("an answer");
        assert!(answer.fields.iter().any(|(_, value)| value.contains("[redacted]")), "{form:?}: {answer:?}");
        assert!(!answer.mentions(KEY), "{form:?}");
    }
}
