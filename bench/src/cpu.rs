//! CPU time of a process, by the kernel's scheduler: nanoseconds, where `utime` and `stime` count ticks.

use std::time::Duration;

/// Time that all threads of a process have spent on a CPU (first field of `/proc/PID/task/TID/schedstat`).
/// Panics when there is no such process.
#[must_use]
pub fn time(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("a running process");
    let nanoseconds = tasks.filter_map(|task| {
        // A thread may end meanwhile.
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Resident memory of a process, bytes (`VmRSS`). Panics when there is no such process.
#[must_use]
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{resident, time};

    #[test]
    fn time_spent_computing_is_counted_and_time_asleep_is_not() {
        let (own, before) = (std::process::id(), time(std::process::id()));
        let start = Instant::now();
        // What other threads have spent goes with them.
        while time(own).saturating_sub(before) < Duration::from_millis(20) {
            assert!(start.elapsed() < Duration::from_secs(10), "no time was counted");
        }
        assert!(resident(own) > 1 << 20);
    }
}
