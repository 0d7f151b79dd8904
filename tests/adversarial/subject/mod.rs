//! The proxy under attack: Keyward, somebody else's, or one that is careless on purpose.

mod careless;
mod foreign;
pub(crate) mod keyward;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use harness::gateway::Gateway;
use harness::process::Process;
use tokio::task::JoinSet;

pub(crate) use careless::Leak;

use crate::arguments::Arguments;
use crate::scenario::Scenario;
use crate::world::World;

/// What is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum Target {
    /// What the command line says: Keyward, or another proxy.
    Given,
    /// The proxy that does everything wrong: proves that a row can fail.
    Careless(Leak),
}

/// Which proxy it is, as far as a row may care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Keyward,
    Foreign,
    Careless,
}

/// A running proxy. It ends when dropped.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    /// Its proxy port.
    pub(crate) proxy: SocketAddr,
    /// Its transparent port, where it has one.
    pub(crate) transparent: Option<SocketAddr>,
    /// The certificate of its CA, PEM.
    pub(crate) ca: String,
    /// Keyward itself.
    pub(crate) gateway: Option<Gateway>,
    running: Running,
}

/// What serves, and ends when dropped.
enum Running {
    /// The gateway that the subject holds.
    Gateway,
    /// Tasks of this program, held for as long as they are to serve.
    Tasks { _tasks: JoinSet<()> },
    /// Somebody else's process.
    Foreign(Mutex<Process>),
}

impl Subject {
    /// Starts what is to be attacked.
    pub(crate) async fn start(
        target: Target,
        scenario: &Scenario,
        world: &Arc<World>,
        arguments: &Arguments,
    ) -> Result<Subject, String> {
        match (target, arguments.proxy) {
            (Target::Careless(leak), _) => careless::start(leak, Arc::clone(world)).await,
            (Target::Given, Some(proxy)) => foreign::start(proxy, world, arguments).await,
            (Target::Given, None) => Ok(Subject::keyward(keyward::start(scenario).await)),
        }
    }

    /// A running gateway as what is attacked.
    pub(crate) fn keyward(gateway: Gateway) -> Subject {
        let ready = gateway.ready();
        // It listens on every address, so that an agent can come by any of them.
        let transparent = SocketAddr::from(([127, 0, 0, 1], ready.transparent.port()));
        Subject {
            kind: Kind::Keyward,
            proxy: ready.proxy,
            transparent: Some(transparent),
            ca: gateway.ca(),
            gateway: Some(gateway),
            running: Running::Gateway,
        }
    }

    /// Whether somebody else's process has ended, and so serves no further row.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.running {
            Running::Foreign(process) => process.lock().unwrap_or_else(PoisonError::into_inner).is_over(),
            Running::Gateway | Running::Tasks { .. } => false,
        }
    }
}
