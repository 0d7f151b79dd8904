//! Bytes across the border: reading a module's memory, and giving it data in memory that it allocated itself.

use wasmtime::{Caller, Error, Extern, Memory, Result};

use super::state::HostState;

/// A host call in progress.
pub(super) type Call<'a> = Caller<'a, HostState>;

fn memory(call: &mut Call<'_>) -> Result<Memory> {
    match call.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => Err(Error::msg("the module exports no memory")),
    }
}

/// Copies bytes out of the module.
pub(super) fn read(call: &mut Call<'_>, at: u32, length: u32) -> Result<Vec<u8>> {
    let memory = memory(call)?;
    let range = at as usize..at as usize + length as usize;
    let bytes = memory.data(&call).get(range).ok_or_else(|| Error::msg("outside the module's memory"))?;
    Ok(bytes.to_vec())
}

/// Writes bytes into the module.
pub(super) fn write(call: &mut Call<'_>, at: u32, bytes: &[u8]) -> Result<()> {
    memory(call)?.write(call, at as usize, bytes)?;
    Ok(())
}

/// Writes a number into the module.
pub(super) fn write_u32(call: &mut Call<'_>, at: u32, value: u32) -> Result<()> {
    write(call, at, &value.to_le_bytes())
}

/// Gives the module data: it allocates, we fill, and the place and size go where it asked.
/// Nothing to give is a null pointer.
pub(super) fn give(call: &mut Call<'_>, data: &[u8], place: u32, size: u32) -> Result<()> {
    let length = u32::try_from(data.len())?;
    let at = if data.is_empty() { 0 } else { allocate(call, length)? };
    write(call, at, data)?;
    write_u32(call, place, at)?;
    write_u32(call, size, length)
}

fn allocate(call: &mut Call<'_>, length: u32) -> Result<u32> {
    for name in ["proxy_on_memory_allocate", "malloc"] {
        if let Some(Extern::Func(function)) = call.get_export(name) {
            return function.typed::<u32, u32>(&mut *call)?.call(call, length);
        }
    }
    Err(Error::msg("the module exports no allocator"))
}
