//! Configuration: bytes to rules, swapped whole.

use std::rc::Rc;
use std::time::Duration;

use policy::rules::RuleSet;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::configuration;
use crate::host;
use crate::stream::Stream;
use crate::vm;

/// How often a VM looks for values that nobody uses any more.
const SWEEP: Duration = Duration::from_secs(30);

/// One plugin configuration. Without rules it refuses every request.
#[derive(Default)]
pub(crate) struct Root {
    rules: Option<Rc<RuleSet>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match configure(size) {
            Ok(rules) => {
                self.rules = rules;
                host::tick_every(SWEEP).is_ok()
            }
            Err(cause) => {
                host::log_error(&format!("keyward: {cause}"));
                false
            }
        }
    }

    /// A sweep that is missed is made up for by the next one.
    fn on_tick(&mut self) {
        if let Ok(now) = host::now() {
            vm::with(|vm| vm.sweep(now, SWEEP));
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.rules.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
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
