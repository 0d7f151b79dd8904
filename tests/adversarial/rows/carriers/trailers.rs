//! H4: the header of the credential after the body.

use super::{Fate, OWN, check};
use crate::row::{EVERY, Row};
use crate::stage::Stage;
use crate::wire::Request;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "H4.request",
            "credentials of the agent's in trailers: they do not go upstream",
            EVERY,
            request,
        ),
        Row::new(
            "H4.announced",
            "trailers that a Trailer header announces: they do not go upstream",
            EVERY,
            announced,
        ),
    ]
}

async fn request(stage: Stage) {
    for name in ["x-api-key", "x_api_key", "authorization", "cookie", "proxy-authorization"] {
        let request = Request::messages().field("x-api-key", OWN).trailer(name, OWN).trailer(name, OWN);
        check(&stage, name, &stage.ask(&request).await, Fate::Served).await;
    }
}

async fn announced(stage: Stage) {
    for announced in ["x-api-key", "x-checksum, X-Api-Key", "authorization, x-api-key"] {
        let request = Request::messages()
            .field("trailer", announced)
            .field("te", "trailers")
            .field("x-api-key", OWN)
            .trailer("x-checksum", "1")
            .trailer("x-api-key", OWN)
            .trailer("authorization", OWN);
        check(&stage, announced, &stage.ask(&request).await, Fate::Served).await;
    }
}
