//! Whom a gateway tells of its requests.

use std::net::TcpListener;

use harness::collector::Collector;

use super::Kind;

/// Whoever listens where `otlp.endpoint` says.
pub enum Told {
    /// A real OpenTelemetry Collector.
    Collector(Collector),
    /// Somebody who takes connections and never says a word.
    Silent(TcpListener),
}

impl Told {
    /// Whom a gateway of this kind tells; `None`: nobody. Panics when the collector does not start.
    pub(super) async fn by(kind: Kind) -> Option<Told> {
        let listener = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        match kind {
            Kind::Telling | Kind::TellingBodies => {
                let told = Told::Silent(listener());
                Some(Told::Collector(told.into_collector().await))
            }
            Kind::Unanswered => Some(Told::Silent(listener())),
            _ => None,
        }
    }

    /// What `otlp.endpoint` says.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Told::Collector(collector) => collector.endpoint(),
            Told::Silent(listener) => format!("http://{}", listener.local_addr().expect("its address")),
        }
    }

    /// A collector: where there was none, one takes the place of the silence. Panics when it does not start.
    pub async fn into_collector(self) -> Collector {
        match self {
            Told::Collector(collector) => collector,
            Told::Silent(listener) => {
                let port = listener.local_addr().expect("its address").port();
                drop(listener);
                Collector::counting_at(port).await
            }
        }
    }
}
