//! What no namespace keeps apart: system calls by which a command reaches beyond its own, and abstract Unix sockets of
//! the machine's network.

use std::io::{Error, Result};

use landlock::{RulesetAttr as _, Scope};
use seccompiler::sock_filter;

/// A system call interface: how the kernel calls it (`AUDIT_ARCH_*`), and its numbers.
struct Interface {
    name: u32,
    ioctl: u32,
    /// `add_key`, `request_key`, `keyctl`.
    keys: [u32; 3],
}

/// Those of the processors that Keyward is built for, the 32-bit ones among them.
const INTERFACES: [Interface; 4] = [
    Interface { name: 0xC000_003E, ioctl: 16, keys: [248, 249, 250] },
    Interface { name: 0x4000_0003, ioctl: 54, keys: [286, 287, 288] },
    Interface { name: 0xC000_00B7, ioctl: 29, keys: [217, 218, 219] },
    Interface { name: 0x4000_0028, ioctl: 54, keys: [309, 310, 311] },
];

/// Of a number in x86-64's third interface, x32, which next to no kernel has. All of it is refused.
const X32: u32 = 0x4000_0000;

/// Puts input into a terminal, which a shell reads once the command has ended; and the same on a console, by pasting.
const TYPES: [u32; 2] = [0x5412, 0x541C];

/// Instructions of linux/bpf_common.h: load a word, jump if equal, jump if a bit is set, return.
const LOAD: u16 = 0x20;
const IF_EQUAL: u16 = 0x15;
const IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// In `struct seccomp_data` of linux/seccomp.h; of the second argument the half that the kernel looks at for `ioctl`.
const NUMBER: u32 = 0;
const INTERFACE: u32 = 4;
const SECOND_ARGUMENT: u32 = 24;

const ALLOWED: u32 = 0x7FFF_0000;
/// With EPERM.
const REFUSED: u32 = 0x0005_0001;

/// Takes those system calls away, for good, from this thread and all that it starts.
pub(super) fn system_calls() -> Result<()> {
    seccompiler::apply_filter(&filter()).map_err(Error::other)
}

/// Takes those sockets away in the same way, where the kernel can: 6.12 and later.
pub(super) fn sockets() -> Result<()> {
    let ruleset = landlock::Ruleset::default().scope(Scope::AbstractUnixSocket).map_err(Error::other)?;
    ruleset.create().and_then(landlock::RulesetCreated::restrict_self).map_err(Error::other)?;
    Ok(())
}

/// A program for the kernel. What has no name in it has no place where it could ask for anything: an interface that
/// is not listed is one of another processor.
fn filter() -> Vec<sock_filter> {
    let mut filter = vec![load(INTERFACE)];
    for Interface { name, ioctl, keys } in INTERFACES {
        let block = [
            load(NUMBER),
            jump(IF_SET, X32, 8, 0),
            jump(IF_EQUAL, keys[0], 7, 0),
            jump(IF_EQUAL, keys[1], 6, 0),
            jump(IF_EQUAL, keys[2], 5, 0),
            jump(IF_EQUAL, ioctl, 0, 3),
            load(SECOND_ARGUMENT),
            jump(IF_EQUAL, TYPES[0], 2, 0),
            jump(IF_EQUAL, TYPES[1], 1, 0),
            give(ALLOWED),
            give(REFUSED),
        ];
        filter.push(jump(IF_EQUAL, name, 0, 11));
        filter.extend(block);
    }
    filter.push(give(ALLOWED));
    filter
}

fn load(from: u32) -> sock_filter {
    sock_filter { code: LOAD, jt: 0, jf: 0, k: from }
}

/// Skips so many instructions if it is so, and so many if it is not.
fn jump(condition: u16, value: u32, if_so: u8, if_not: u8) -> sock_filter {
    sock_filter { code: condition, jt: if_so, jf: if_not, k: value }
}

fn give(verdict: u32) -> sock_filter {
    sock_filter { code: RETURN, jt: 0, jf: 0, k: verdict }
}
