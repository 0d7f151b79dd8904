//! No core dumps: keys would lie in them.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Turns core dumps off for this process and everything that it starts.
///
/// The limit is not applied to dumps that the kernel pipes to a program (core(5)); those are left empty by a filter
/// that names no memory to dump. Both are inherited by children, also through `execve`.
pub(crate) fn off() {
    // Lowering one's own limit is always allowed, and a kernel without the filter has no core dumps.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = std::fs::write("/proc/self/coredump_filter", "0");
}
