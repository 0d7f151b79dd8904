//! What the README says of bodies of answers: a credential in one does not come through.

use harness::provider::Echo;
use harness::scenario::KEY;
use serde_json::json;

use super::{Desk, MESSAGES, blocks, replaced};

#[tokio::test]
async fn a_key_in_the_body_of_an_answer_does_not_come_through() {
    let desk = Desk::new().await;
    let [capabilities, ..]: [String; 3] = blocks("yaml").try_into().expect("three blocks");
    let template = std::fs::read_to_string(desk.path("envoy.yaml.in")).unwrap();
    let at = "                    allowed_capabilities:\n";
    std::fs::write(desk.path("envoy.yaml.in"), replaced(&template, at, &format!("{at}{capabilities}")))
        .unwrap();
    desk.change("filter.json", |config| config["scrub"] = json!({"bodies": true, "set_cookie": true}));
    desk.prepare(|_| {});
    let envoy = desk.envoy(str::to_owned).await;
    desk.provider.behave(|behaviour| {
        (behaviour.confess, behaviour.echo) = (true, Echo::ALL.to_vec());
        behaviour.headers = vec![("set-cookie".into(), "session=1".into())];
    });
    let answer = envoy.curl(MESSAGES, "").await;
    assert_eq!(desk.provider.only_request().values("x-api-key"), [KEY]);
    assert_eq!(answer.status, "200", "{}", answer.text);
    let (head, body) = answer.text.split_once("\r\n\r\n").expect("a head");
    assert!(!head.contains("set-cookie") && body.contains("[redacted]"), "{}", answer.text);
}
