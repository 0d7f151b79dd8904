//! What goes over the socket holds credentials sealed only: no spelling of one, and not the key that opens them.

use controller::xds::Kind;
use harness::gateway::HOST;
use harness::scenario::KEY;
use harness::sealed::KEYRING;
use harness::search::{found, spellings};
use prost::Message;

use super::rig::Rig;
use super::wire::What;

const ROTATED: &str = "sk-ant-rotated-9sWkQ2nH5uLdE8aRtV";

#[tokio::test]
async fn no_message_shows_a_credential_or_a_sealing_key() {
    let (rig, _) = Rig::with_example().await;
    rig.assert_serves(HOST, KEY).await;
    let rotated = rig.example(ROTATED);
    rig.publish(&rotated);
    rig.settled(&rotated).await;
    rig.assert_serves(HOST, ROTATED).await;

    let sealing = KEYRING.split(':').nth(1).expect("a sealing key").to_owned();
    let needles = [spellings(KEY), spellings(ROTATED), vec![sealing, KEYRING.to_owned()]].concat();
    let (mut bytes, mut filters) = (Vec::new(), 0);
    rig.tee.read(0, |log| {
        for said in log {
            match &said.what {
                What::Request(request) => bytes.extend(request.encode_to_vec()),
                What::Response(response) => {
                    filters += usize::from(response.type_url == Kind::Extension.url());
                    bytes.extend(response.encode_to_vec());
                }
            }
        }
    });
    assert!(filters >= 2, "{filters} messages with filters: the credentials came another way");
    // What names the credential is there, so its sealed value is.
    assert!(!found(&bytes, &["default/anthropic".into()]).is_empty(), "no message names the credential");
    assert_eq!(found(&bytes, &needles), Vec::<String>::new(), "a message shows a key");
    rig.end().await;
}
