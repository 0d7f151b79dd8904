//! Standard output: what was asked for. Where it cannot be written the command has failed.

use std::io::{self, StdoutLock, Write as _};

use serde::Serialize;

use super::Failure;

/// Prints whatever this writes.
pub(super) fn text(write: impl FnOnce(&mut StdoutLock<'static>) -> io::Result<()>) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    write(&mut output).and_then(|()| output.flush()).map_err(Failure::output)
}

/// Prints a line.
pub(super) fn line(line: &str) -> Result<(), Failure> {
    text(|output| writeln!(output, "{line}"))
}

/// Prints a JSON document.
pub(super) fn json(document: &impl Serialize) -> Result<(), Failure> {
    text(|output| {
        serde_json::to_writer_pretty(&mut *output, document)?;
        output.write_all(b"\n")
    })
}
