//! Sends spans to their collectors.

use std::rc::Rc;
use std::time::Duration;

use policy::outbox::{self, Ended};
use policy::rules::Collector;

use crate::host::{self, Refused};
use crate::vm;

/// Posts what waits for these collectors; the number and the cluster of each call.
pub(crate) fn tell(collectors: &[Collector], now: Duration) -> Vec<(u32, Rc<str>)> {
    collectors.iter().filter_map(|collector| tell_one(collector, now)).collect()
}

fn tell_one(collector: &Collector, now: Duration) -> Option<(u32, Rc<str>)> {
    let cluster = collector.cluster();
    let batch = vm::with(|vm| vm.outbox(cluster).and_then(|outbox| outbox.batch(now)))??;
    match post(collector, &batch) {
        Ok(number) => Some((number, Rc::clone(cluster))),
        Err(Refused) => {
            ended(cluster, now, &Ended::Failed);
            None
        }
    }
}

fn post(collector: &Collector, batch: &[u8]) -> Result<u32, Refused> {
    let mut headers = vec![
        (":method", "POST"),
        (":path", collector.path()),
        (":authority", collector.authority()),
        ("content-type", "application/x-protobuf"),
    ];
    for (name, value) in collector.headers().ok_or(Refused)? {
        // Exposed to the collector that it was sealed for.
        headers.push((name, std::str::from_utf8(value.expose()).map_err(|_| Refused)?));
    }
    host::post(collector.cluster(), headers, batch, outbox::PATIENCE)
}

/// Takes the answer to what was posted, of which the host holds a body of this size.
pub(crate) fn answered(cluster: &str, now: Duration, size: usize) {
    let headers = host::posted_headers().unwrap_or_default();
    let status = headers.first(":status").and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    let body = host::posted_body(size).unwrap_or_default();
    let retry_after = headers.first("retry-after");
    let how = status.map_or(Ended::Failed, |status| Ended::Answered { status, retry_after, body: &body });
    ended(cluster, now, &how);
}

fn ended(cluster: &str, now: Duration, how: &Ended<'_>) {
    vm::with(|vm| vm.outbox(cluster).map(|outbox| outbox.ended(now, how)));
}
