//! The collectors of a configuration, and the headers that they are sent.

use std::cell::OnceCell;
use std::rc::Rc;

use super::credential::Sealed;
use super::{ConfigError, Fault};
use crate::seal::{Binding, Keyring};
use crate::secret::Secret;
use crate::wire::{self, Telemetry};

/// A collector.
pub struct Collector {
    cluster: Rc<str>,
    authority: String,
    path: String,
    headers: Vec<(String, Sealed)>,
    keyring: Option<Rc<Keyring>>,
    opened: OnceCell<Option<Vec<(String, Secret)>>>,
}

impl Collector {
    /// The Envoy cluster that leads to it.
    #[must_use]
    pub fn cluster(&self) -> &Rc<str> {
        &self.cluster
    }

    /// `:authority`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `:path`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The headers of its own, opened when they are first needed; `None`: one of them does not open, and nothing can be
    /// sent.
    #[must_use]
    pub fn headers(&self) -> Option<&[(String, Secret)]> {
        self.opened.get_or_init(|| self.open()).as_deref()
    }

    fn open(&self) -> Option<Vec<(String, Secret)>> {
        let open = |(name, sealed): &(String, Sealed)| {
            let keyring = self.keyring.as_ref()?;
            Some((name.clone(), keyring.open(&sealed.binding, &sealed.text).ok()?))
        };
        self.headers.iter().map(open).collect()
    }
}

pub(super) fn compile(
    gateway: &str,
    telemetry: Option<&Telemetry>,
    keyring: Option<&Rc<Keyring>>,
) -> Result<Vec<Collector>, ConfigError> {
    let collectors = telemetry.into_iter().flat_map(|telemetry| &telemetry.collectors).enumerate();
    collectors.map(|(index, collector)| compile_one(gateway, collector, index, keyring)).collect()
}

fn compile_one(
    gateway: &str,
    collector: &wire::Collector,
    index: usize,
    keyring: Option<&Rc<Keyring>>,
) -> Result<Collector, ConfigError> {
    let at = |field: &str| format!("telemetry.collectors[{index}].{field}");
    for (field, text) in
        [("cluster", &collector.cluster), ("authority", &collector.authority), ("path", &collector.path)]
    {
        super::compile::ensure(!text.is_empty(), || at(field), Fault::Empty)?;
    }
    let mut headers = Vec::with_capacity(collector.headers.len());
    for (position, header) in collector.headers.iter().enumerate() {
        super::compile::check_header_name(&header.name, || at(&format!("headers[{position}].name")))?;
        let binding = Binding::of_collector(gateway, collector, &header.name);
        headers.push((header.name.clone(), Sealed { binding, text: header.sealed.clone() }));
    }
    Ok(Collector {
        cluster: collector.cluster.as_str().into(),
        authority: collector.authority.clone(),
        path: collector.path.clone(),
        headers,
        keyring: keyring.cloned(),
        opened: OnceCell::new(),
    })
}
