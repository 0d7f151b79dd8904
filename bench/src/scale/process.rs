//! What the kernel says of a process: memory, and time on the CPU.

use std::fs;
use std::time::Duration;

/// Resident memory in MiB (`VmRSS`). Panics when there is no such process.
#[must_use]
pub(crate) fn rss_mib(process: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number");
    kib / 1024.0
}

/// Time on the CPU of all threads. Panics when there is no such process.
#[must_use]
pub(crate) fn cpu(process: i32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("a running process");
    threads.filter_map(Result::ok).map(|thread| scheduled(&thread.path().join("schedstat"))).sum()
}

/// Time on the CPU of the main thread. Panics when there is no such process.
#[must_use]
pub(crate) fn main_thread(process: i32) -> Duration {
    scheduled(format!("/proc/{process}/task/{process}/schedstat").as_ref())
}

/// Takes this much time on the CPU, in the thread that calls.
pub(crate) fn spend(time: Duration) {
    let spent = || scheduled("/proc/thread-self/schedstat".as_ref());
    let end = spent() + time;
    while spent() < end {}
}

/// Time on the CPU of one of an Envoy's workers, on average. Panics when there is no such process, or none of its
/// threads is a worker.
#[must_use]
pub(crate) fn workers(envoy: i32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{envoy}/task")).expect("a running process");
    let paths = threads.filter_map(|thread| Some(thread.ok()?.path()));
    let name = |path: &std::path::Path| fs::read_to_string(path.join("comm")).unwrap_or_default();
    let workers: Vec<_> = paths.filter(|path| name(path).starts_with("wrk:worker")).collect();
    let count = u32::try_from(workers.len()).expect("a few");
    workers.iter().map(|path| scheduled(&path.join("schedstat"))).sum::<Duration>() / count
}

/// The first field of `schedstat`: nanoseconds on the CPU. A thread that has just ended counts nothing.
fn scheduled(path: &std::path::Path) -> Duration {
    let text = fs::read_to_string(path).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or_default())
}

/// The children of a process whose program has this name.
#[must_use]
pub(crate) fn children(process: i32, program: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|number| is_child(*number, process, program).unwrap_or(false)).collect()
}

fn is_child(number: i32, parent: i32, program: &str) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // After the program's name, which is in parentheses: state, parent.
    let parent_of = stat.rsplit_once(')')?.1.split(' ').nth(2)?.parse::<i32>().ok()?;
    let path = fs::read_link(format!("/proc/{number}/exe")).ok()?;
    Some(parent_of == parent && path.file_name()?.to_str()? == program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_time_and_children() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = i32::try_from(child.id()).unwrap();
        // Between fork and exec it still has our program.
        let end = std::time::Instant::now() + Duration::from_secs(5);
        let program = loop {
            let path = fs::read_link(format!("/proc/{id}/exe")).unwrap();
            if path != std::env::current_exe().unwrap() || std::time::Instant::now() > end {
                break path.file_name().unwrap().to_str().unwrap().to_owned();
            }
        };
        assert_eq!(children(own, &program), [id]);
        assert!(rss_mib(own) > 1.0 && cpu(own) >= main_thread(own));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
