//! It can be stopped: A1 to A8.

use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::row::{ONCE, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::keyward;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "A8.killed",
            "keyward dev is killed: its Envoy ends, nothing listens any more",
            ONCE,
            killed,
        )
        .only_keyward("speaks of keyward dev"),
    ]
}

async fn killed(stage: Stage) {
    let mut gateway = keyward::start(&Scenario::default()).await;
    let proxy = gateway.ready().proxy;
    assert_eq!(gateway.envoys().len(), 1, "{:?}", gateway.processes());
    assert!(TcpStream::connect(proxy).await.is_ok(), "it does not even listen");
    gateway.signal(Signal::KILL);
    assert_eq!(gateway.ended().await, None);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(proxy).await.is_err(), "something still listens");
    stage.nothing_upstream().await;
}
