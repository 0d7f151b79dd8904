//! Configuration: bytes to rules, swapped whole.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use policy::rules::RuleSet;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::configuration;
use crate::host::{self, Refused};
use crate::stream::Stream;
use crate::telling;
use crate::vm;

/// One plugin configuration. Without rules it refuses every request.
#[derive(Default)]
pub(crate) struct Root {
    rules: Option<Rc<RuleSet>>,
    /// What was posted and not answered yet: the host's number, and the collector's cluster.
    posted: BTreeMap<u32, Rc<str>>,
}

impl Root {
    /// Sends what waits for its collectors.
    fn tell(&mut self, now: Duration) {
        if let Some(rules) = &self.rules {
            self.posted.extend(telling::tell(rules.collectors(), now));
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, number: u32, _headers: usize, body: usize, _trailers: usize) {
        let (Some(cluster), Ok(now)) = (self.posted.remove(&number), host::now()) else { return };
        telling::answered(&cluster, now, body);
        if vm::with(|vm| vm.outbox(&cluster).is_some_and(|outbox| outbox.is_due(now))) == Some(true) {
            self.tell(now);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match configure(size) {
            Ok(rules) => {
                self.rules = rules;
                // What waits may be of a root context that this one takes the place of.
                host::now().and_then(next_tick).is_ok()
            }
            Err(cause) => {
                host::log_error(&format!("keyward: {cause}"));
                false
            }
        }
    }

    /// A sweep that is missed is made up for by the next one.
    fn on_tick(&mut self) {
        let Ok(now) = host::now() else { return };
        vm::with(|vm| vm.sweep(now));
        self.tell(now);
        vm::with(|vm| vm.settle(now));
        let _ = next_tick(now);
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.rules.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn next_tick(now: Duration) -> Result<(), Refused> {
    host::tick_every(vm::with(|vm| vm.next_tick(now)).ok_or(Refused)?)
}

/// The rules; `None` without a configuration. An error is one line that names a field and shows no value.
fn configure(size: usize) -> Result<Option<Rc<RuleSet>>, String> {
    let bytes =
        host::plugin_configuration(size).map_err(|_| "the configuration cannot be read".to_owned())?;
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        host::log_error("keyward: no configuration: every request is refused");
        return Ok(None);
    };
    let json = configuration::unwrap(&bytes).map_err(|_| {
        "configuration refused: neither JSON nor a GenericSecret with one inline source".to_owned()
    })?;
    let (root_id, now) = (host::root_id(), host::now().ok());
    match vm::with(|vm| vm.compile(root_id, json, now)) {
        Some(Ok(rules)) => Ok(Some(rules)),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("the module's state is in use".to_owned()),
    }
}
