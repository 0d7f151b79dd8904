//! `keyward validate`: every problem of a directory of manifests, with nothing started and nothing sent.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::findings::{self, Finding, Severity};
use super::offline::Offline;
use super::{Failure, print};
use crate::source::SecretFlag;

/// Say everything that is wrong with a directory of manifests
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of manifests (*.yaml)
    #[arg(value_name = "DIR")]
    manifests: PathBuf,
    /// Take a Secret's value from an environment variable instead of its manifest, as `keyward dev` does
    #[arg(long, value_name = "[NS/]NAME=ENVVAR[:KEY]")]
    secret: Vec<SecretFlag>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Nothing is started and nothing is sent. A problem is whatever would not be served as it is written: a file that is no
YAML, an unknown field, an object that is refused, a Secret that is missing. A Secret that exists only when the gateway
runs is given here in the same way as there. Tokens of Google service accounts count as obtained. A field that is
accepted without effect is a warning.

Examples:
  keyward validate manifests
  keyward validate examples/anthropic --secret anthropic-credentials=ANTHROPIC_API_KEY
  keyward validate manifests --json | jq -r '.problems[] | [.file, .line, .message] | @tsv'

Exit codes: 0 no problem (there may be warnings), 1 a problem, 2 usage.";

/// What `--json` prints.
#[derive(Serialize)]
struct Document {
    /// Whether there is no error.
    valid: bool,
    directory: String,
    /// How many objects were read, Secrets included.
    objects: usize,
    errors: usize,
    warnings: usize,
    problems: Vec<Finding>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let offline = Offline::read(&args.manifests, &args.secret)?;
    let document = document(args.manifests.display().to_string(), &offline);
    if args.json {
        print::json(&document)?
    } else {
        print::text(|output| show(&document, output))?
    }
    Ok(ExitCode::from(u8::from(!document.valid)))
}

fn document(directory: String, offline: &Offline) -> Document {
    let problems = findings::all(offline);
    let count = |severity| problems.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    Document { valid: errors == 0, directory, objects: offline.objects, errors, warnings, problems }
}

fn show(document: &Document, output: &mut impl Write) -> io::Result<()> {
    for finding in &document.problems {
        writeln!(output, "{finding}")?;
    }
    let Document { directory, objects, errors, warnings, .. } = document;
    let problems = if *errors == 0 { "no problem".to_owned() } else { counted(*errors, "problem") };
    writeln!(
        output,
        "{directory}: {}, {problems}, {}",
        counted(*objects, "object"),
        counted(*warnings, "warning")
    )
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
