//! Capabilities: the few that the inner stage needs to make its namespaces, and none after that.

use std::io::Result;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// To mount, to bring an interface up, and to give all up.
const NEEDED: [CapabilitySet; 3] =
    [CapabilitySet::SYS_ADMIN, CapabilitySet::NET_ADMIN, CapabilitySet::SETPCAP];

/// More than there are: the kernel says where they end.
const HIGHEST: u32 = 63;

/// Keeps what is needed over `execve`, which takes capabilities from who is not root.
pub(super) fn keep_over_execve() -> Result<()> {
    let mut sets = capabilities(None)?;
    sets.inheritable = NEEDED.into_iter().collect();
    set_capabilities(None, sets)?;
    for capability in NEEDED {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Gives everything up for good: this process, and all that it starts, have no capability in any set, and no program
/// that they execute gives them one.
pub(super) fn give_up() -> Result<()> {
    clear_ambient_capability_set()?;
    for number in 0..=HIGHEST {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(capability) {
            // There are no further ones.
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    Ok(())
}
