//! The few WASI calls that a Rust module makes: its environment, the clock, a message on the way down.

use wasmtime::{Error, Linker, Result};

use super::abi::{Call, read, write, write_u32};
use super::state::HostState;

const WASI: &str = "wasi_snapshot_preview1";

/// `errno` of success.
const SUCCESS: u32 = 0;

/// Defines them.
pub(super) fn define(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(WASI, "environ_sizes_get", |mut call: Call<'_>, count: u32, size: u32| {
        let entries = entries(&call);
        write_u32(&mut call, count, u32::try_from(entries.len())?)?;
        write_u32(&mut call, size, u32::try_from(entries.iter().map(Vec::len).sum::<usize>())?)?;
        Ok(SUCCESS)
    })?;
    linker.func_wrap(WASI, "environ_get", |mut call: Call<'_>, mut places: u32, mut at: u32| {
        for entry in entries(&call) {
            write_u32(&mut call, places, at)?;
            write(&mut call, at, &entry)?;
            places += 4;
            at += u32::try_from(entry.len())?;
        }
        Ok(SUCCESS)
    })?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |mut call: Call<'_>, _clock: u32, _precision: u64, place: u32| {
            let now = call.data().now;
            write(&mut call, place, &now.to_le_bytes())?;
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_write",
        |mut call: Call<'_>, _fd: u32, vectors: u32, count: u32, written: u32| {
            let text = gather(&mut call, vectors, count)?;
            write_u32(&mut call, written, u32::try_from(text.len())?)?;
            // Envoy logs standard output and standard error of a module, too.
            call.data_mut().logs.push((4, String::from_utf8_lossy(&text).into_owned()));
            Ok(SUCCESS)
        },
    )?;
    linker.func_wrap(WASI, "random_get", |mut call: Call<'_>, place: u32, length: u32| {
        // Seeds of hash tables. The same ones each time, so that runs repeat.
        write(&mut call, place, &vec![7; length as usize])?;
        Ok(SUCCESS)
    })?;
    linker.func_wrap(WASI, "proc_exit", |_: Call<'_>, code: u32| -> Result<()> {
        Err(Error::msg(format!("the module exited with {code}")))
    })?;
    Ok(())
}

/// The environment as WASI lays it out: `NAME=VALUE`, each ended by a zero byte.
fn entries(call: &Call<'_>) -> Vec<Vec<u8>> {
    call.data().environment.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn gather(call: &mut Call<'_>, vectors: u32, count: u32) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for index in 0..count {
        let vector = read(call, vectors + index * 8, 8)?;
        let word =
            |at: usize| u32::from_le_bytes([vector[at], vector[at + 1], vector[at + 2], vector[at + 3]]);
        text.extend(read(call, word(0), word(4))?);
    }
    Ok(text)
}
