//! The adversarial suite: every threat of `SECURITY.md`'s promise as an attack on the running gateway, byte by byte.
//!
//! `make adversarial` runs it and prints a table; `docs/adversarial.md` says how to run it against another proxy.
//!
//! **How a row is added.** Choose the file of its group under `rows/` and add to the list that its `rows()` returns:
//!
//! ```ignore
//! Row::new("D1.target-sni", "CONNECT target and SNI name different hosts: refused", PROXY, target_sni)
//! ```
//!
//! The id is the threat's letter and number, then which attack of it. The variants (`EVERY`, `PROXY`, `HTTP1`, `ONCE`,
//! …, in `row.rs`) are the ways in which the case is tried; [`row::Row`] has what else can be said (`under` another
//! [`scenario::Scenario`], `only_keyward`, `slow`). The case is an `async fn(Stage)` that asserts by panicking:
//! [`stage::Stage`] has agents that come by the way of the variant, the providers' records, and the usual claims
//! (`refused`, `nothing_upstream`). A case looks at what the upstream got **and** at what the agent got.
//!
//! The worker does the rest: before a case a good request must succeed by the same way (`without_control` where none
//! can); after it no key may be anywhere but at its provider. Every row that does not say otherwise is also put to a
//! proxy that does everything wrong, in every variant, and **must fail there** (`canary.leak`): so no row is without
//! force. One that says `only_keyward` or `proved_by_itself` has a control of its own, in its case.
//!
//! Each worker is this program again, in a network and mount namespace of its own (`namespace.rs`), and runs one case
//! at a time: a case may do what it likes to the world, which is set up afresh before the next.

mod arguments;
mod namespace;
mod neighbour;
mod processes;
mod report;
mod row;
mod rows;
mod scenario;
mod schedule;
mod stage;
mod subject;
mod wire;
mod worker;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;
use report::Report;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.worker {
        return worker::serve(&arguments);
    }
    match attack(&arguments) {
        Ok(report) if report.failed() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("adversarial: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn attack(arguments: &Arguments) -> Result<Report, String> {
    if arguments.proxy.is_none() {
        // Built before anything is cut off from the network; what is missing is said once.
        let _ = (harness::artefacts::keyward(), harness::artefacts::module(), harness::artefacts::envoy());
        let _ = harness::artefacts::trapping_module();
    }
    let about = about(arguments)?;
    let mut rows = rows::all();
    rows.retain(|row| arguments.wants(row.id));
    let outcomes = schedule::run(&rows, arguments)?;
    let report = Report::new(&rows, &outcomes, rows::LATER, arguments, about);
    let folder = folder(arguments)?;
    report.write_to(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("{}\nreports: {}\n", report.table(), folder.display());
    println!("{}", report.summary());
    Ok(report)
}

/// What stands at the head of the report; read first, so that a long run does not fail at its end.
fn about(arguments: &Arguments) -> Result<String, String> {
    let Some(file) = &arguments.about else { return Ok(String::new()) };
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Where reports go: beside what cargo built.
fn folder(arguments: &Arguments) -> Result<PathBuf, String> {
    if let Some(folder) = &arguments.report {
        return Ok(folder.clone());
    }
    let own = std::env::current_exe().map_err(|error| format!("this program cannot find itself: {error}"))?;
    let target = own.ancestors().nth(3).ok_or("this program stands in no target directory")?;
    Ok(target.join("adversarial"))
}
