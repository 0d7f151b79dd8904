//! What the requests and the buckets of one VM share: the credentials, and the keyring that opens them.
//!
//! The only global. Envoy gives each update of a bucket a new root context in the same VM; values that an old one
//! opened are needed after it is gone (responses are scrubbed of them for ten more minutes), and values that other
//! buckets opened need not be opened again.

use std::cell::RefCell;
use std::time::Duration;

use policy::rules::Vault;
use policy::seal::Keyring;

use crate::host;

/// The variable that the keyring comes in. Envoy passes it on by `host_env_keys`, so a dump shows the name only.
const KEYRING: &str = "KEYWARD_KEYRING";

pub(crate) struct Vm {
    pub(crate) vault: Vault,
    swept: Duration,
}

impl Vm {
    /// Sweeps the vault, where that was not done within `period`: every bucket of the VM has a clock of its own.
    pub(crate) fn sweep(&mut self, now: Duration, period: Duration) {
        if now.saturating_sub(self.swept) >= period {
            self.swept = now;
            self.vault.sweep(now);
        }
    }
}

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm {
        vault: Vault::new(read_keyring()),
        swept: Duration::ZERO,
    });
}

/// Lends the VM's state; `None` when it is lent already, which no callback does.
pub(crate) fn with<T>(use_it: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.try_with(|vm| vm.try_borrow_mut().ok().map(|mut vm| use_it(&mut vm))).ok().flatten()
}

/// Without a keyring no credential opens, so every rule that needs one denies.
fn read_keyring() -> Option<Keyring> {
    let text = std::env::var(KEYRING).ok()?;
    match Keyring::parse(&text) {
        Ok(keyring) => Some(keyring),
        Err(error) => {
            host::log_error(&format!("keyward: {KEYRING} cannot be read: {error}"));
            None
        }
    }
}
