//! `keyward status`: how a running `keyward dev` or `keyward run` stands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::table::Table;
use super::{Failure, no_answer, print};
use crate::dev::control::ask_status;
use crate::dev::event::ConditionLine;
use crate::dev::find::control_socket;
use crate::dev::status::{GatewayReport, ObjectReport, Status, TokenReport};

/// Say how a running `keyward dev` or `keyward run` stands
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The manifests of the one to ask [default: the only one running]
    #[arg(long, value_name = "DIR", conflicts_with = "state_dir")]
    manifests: Option<PathBuf>,
    /// The state directory of the one to ask
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
It shows the gateways (address, what their Envoys hold, certificates), every object with its conditions, the problems of
the files, and how Google tokens stand. It never shows a secret.

Examples:
  keyward status
  keyward status --manifests manifests
  keyward status --json | jq -r '.gateways[].proxy'

Exit codes: 0 every gateway serves, 1 one does not or none runs, 2 usage.";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let socket =
        control_socket(args.state_dir.as_deref(), args.manifests.as_deref()).map_err(Failure::failed)?;
    let status = ask_status(&socket).map_err(|error| no_answer(&socket, &error))?;
    if args.json {
        print::json(&status)?
    } else {
        print::text(|output| show(&status, output))?
    }
    let serves = status.ready && status.gateways.iter().all(|gateway| gateway.ready);
    Ok(ExitCode::from(u8::from(!serves)))
}

fn show(status: &Status, output: &mut impl Write) -> io::Result<()> {
    gateways(&status.gateways).write(output)?;
    writeln!(output)?;
    objects(&status.objects).write(output)?;
    for GatewayReport { address, push, .. } in &status.gateways {
        for refused in &push.refused {
            let (namespace, name) = (&address.namespace, &address.name);
            writeln!(output, "{namespace}/{name}: an Envoy refused {}: {}", refused.resource, refused.why)?;
        }
    }
    if !status.tokens.is_empty() {
        writeln!(output)?;
        tokens(&status.tokens).write(output)?;
    }
    if let Some(url) = &status.inspector {
        writeln!(output, "\ninspector {url}")?;
    }
    for problem in &status.problems {
        writeln!(output, "problem: {problem}")?;
    }
    Ok(())
}

fn gateways(gateways: &[GatewayReport]) -> Table {
    let mut table = Table::new(&["GATEWAY", "READY", "PROXY", "ENVOYS", "LAST PUSH", "LEAVES", "FIRST ENDS"]);
    for GatewayReport { address, ready, push, leaves } in gateways {
        table.row(vec![
            format!("{}/{}", address.namespace, address.name),
            if *ready { "True" } else { "False" }.to_owned(),
            address.proxy.clone(),
            format!("{}/{}", push.acknowledged, push.envoys),
            or_none(push.at.as_ref()),
            leaves.count.to_string(),
            or_none(leaves.next_end.as_ref()),
        ]);
    }
    table
}

fn objects(objects: &[ObjectReport]) -> Table {
    let mut table = Table::new(&["KIND", "NAME", "ACCEPTED", "RESOLVED", "READY", "REASON"]);
    for ObjectReport { kind, namespace, name, conditions } in objects {
        let of = |kind| truth(conditions, kind);
        let mut why = conditions.iter().filter(|condition| condition.status == "False");
        let first = why.next();
        table.row(vec![
            kind.clone(),
            format!("{namespace}/{name}"),
            of("Accepted"),
            of("ResolvedRefs"),
            of("Ready"),
            first.map(|it| format!("{}: {}", it.reason, it.message)).unwrap_or_default(),
        ]);
    }
    table
}

/// Of a condition that an object has several times: the worst.
fn truth(conditions: &[ConditionLine], kind: &str) -> String {
    let of_kind = || conditions.iter().filter(|condition| condition.r#type == kind);
    let worst =
        ["False", "Unknown", "True"].into_iter().find(|truth| of_kind().any(|it| it.status == *truth));
    worst.unwrap_or("-").to_owned()
}

fn tokens(tokens: &[TokenReport]) -> Table {
    let mut table = Table::new(&["TOKEN OF SECRET", "FOR", "AGE", "EXPIRES", "NEXT", "FAILED", "ERROR"]);
    for token in tokens {
        table.row(vec![
            format!("{} ({})", token.secret, token.key),
            or_none(token.audience.as_ref()),
            token.age_seconds.map_or_else(|| "-".to_owned(), |age| format!("{age}s")),
            or_none(token.expires_at.as_ref()),
            or_none(token.next_attempt.as_ref()),
            token.failures.to_string(),
            or_none(token.last_error.as_ref()),
        ]);
    }
    table
}

fn or_none(text: Option<&String>) -> String {
    text.map_or_else(|| "-".to_owned(), Clone::clone)
}
