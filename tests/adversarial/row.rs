//! A row of the table: an attack, where it is tried, and what must become of it.

use std::future::Future;
use std::pin::Pin;

use harness::client::Http;

use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::subject::Leak;

/// How an agent comes to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// By CONNECT.
    Proxy,
    /// By TLS to the transparent port.
    Transparent,
}

/// One way in which a row is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// With this protocol, through this port.
    On(Http, Port),
    /// In a way of its own.
    Once,
}

const H1: Variant = Variant::On(Http::One, Port::Proxy);
const H2: Variant = Variant::On(Http::Two, Port::Proxy);
const T1: Variant = Variant::On(Http::One, Port::Transparent);
const T2: Variant = Variant::On(Http::Two, Port::Transparent);

/// Both protocols through both ports.
pub(crate) const EVERY: &[Variant] = &[H1, H2, T1, T2];
/// Both protocols through the proxy port.
pub(crate) const PROXY: &[Variant] = &[H1, H2];
/// Both protocols through the transparent port.
pub(crate) const TRANSPARENT: &[Variant] = &[T1, T2];
/// HTTP/1.1 through both ports.
pub(crate) const HTTP1: &[Variant] = &[H1, T1];
/// HTTP/2 through both ports.
pub(crate) const HTTP2: &[Variant] = &[H2, T2];
/// Once, in a way that the row chooses.
pub(crate) const ONCE: &[Variant] = &[Variant::Once];
/// Every variant that there is, in the order of the table's columns.
pub(crate) const COLUMNS: [Variant; 5] = [H1, H2, T1, T2, Variant::Once];

impl Variant {
    /// Its name in reports.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Variant::On(Http::One, Port::Proxy) => "h1 proxy",
            Variant::On(Http::Two, Port::Proxy) => "h2 proxy",
            Variant::On(Http::One, Port::Transparent) => "h1 transp",
            Variant::On(Http::Two, Port::Transparent) => "h2 transp",
            Variant::Once => "once",
        }
    }
}

/// How it is known that a row can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It fails against the careless proxy, in every variant that runs there.
    Careless(Leak),
    /// In another way, which the row's text or its own controls say: it needs what only Keyward has.
    ByItself,
}

type Case = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A row.
pub(crate) struct Row {
    /// Its id, as `D1.target-sni`: the letter and number of the threat, then which attack of it.
    pub(crate) id: &'static str,
    /// What is tried, and what becomes of it, in one sentence.
    pub(crate) what: &'static str,
    pub(crate) variants: &'static [Variant],
    pub(crate) scenario: Scenario,
    pub(crate) proof: Proof,
    /// Why only Keyward can be asked.
    pub(crate) only_keyward: Option<&'static str>,
    /// Whether a good request by the same way comes before it.
    pub(crate) control: bool,
    /// Whether it waits for long, and so is started first.
    pub(crate) slow: bool,
    run: Box<dyn Fn(Stage) -> Case + Send + Sync>,
}

impl Row {
    /// A row that any proxy can be asked, under the default scenario. The case asserts by panicking.
    pub(crate) fn new<F, Fut>(
        id: &'static str,
        what: &'static str,
        variants: &'static [Variant],
        run: F,
    ) -> Row
    where
        F: Fn(Stage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Row {
            id,
            what,
            variants,
            scenario: Scenario::default(),
            proof: Proof::Careless(Leak::ToAnyone),
            only_keyward: None,
            control: true,
            slow: false,
            run: Box::new(move |stage| Box::pin(run(stage))),
        }
    }

    /// Under another configuration.
    pub(crate) fn under(mut self, scenario: Scenario) -> Row {
        self.scenario = scenario;
        self
    }

    /// Only Keyward can be asked, because of this; the row has a control of its own.
    pub(crate) fn only_keyward(mut self, why: &'static str) -> Row {
        self.only_keyward = Some(why);
        self.proof = Proof::ByItself;
        self
    }

    /// Other proxies are not told of what it needs: of them only the careless one is asked.
    pub(crate) fn beyond_others(mut self, why: &'static str) -> Row {
        self.only_keyward = Some(why);
        self
    }

    /// Fails against a proxy that gives the key back, and need not against others.
    pub(crate) fn proved_by(mut self, leak: Leak) -> Row {
        self.proof = Proof::Careless(leak);
        self
    }

    /// The careless proxy is no match for it; the row has a control of its own.
    pub(crate) fn proved_by_itself(mut self) -> Row {
        self.proof = Proof::ByItself;
        self
    }

    /// No good request comes before it: under its scenario none succeeds.
    pub(crate) fn without_control(mut self) -> Row {
        self.control = false;
        self
    }

    /// Waits for long.
    pub(crate) fn slow(mut self) -> Row {
        self.slow = true;
        self
    }

    /// Runs it.
    pub(crate) fn case(&self, stage: Stage) -> Case {
        (self.run)(stage)
    }
}
