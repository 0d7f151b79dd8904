//! `keyward secret set`: new values for a Secret of a running `keyward dev`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use policy::secret::Secret;

use super::progress::Progress;
use super::{Failure, no_answer, print};
use crate::dev::control::{Answer, SetSecret, send};
use crate::dev::find::control_socket;
use crate::hardening::{self, Taken};
use crate::plan::ObjectKey;

/// What can be done with Secrets.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Merge keys into a Secret; return when every connected Envoy uses them
    #[command(after_help = EXAMPLES)]
    Set(Box<SetArgs>),
}

/// Of the command above.
pub(super) const GROUP_EXAMPLES: &str = "\
Example:
  keyward secret set anthropic-credentials --from-env api-key=ANTHROPIC_API_KEY";

const USAGE: &str = "keyward secret set [OPTIONS] <[NS/]NAME> <--from-literal KEY=VALUE|--from-env KEY=VAR|--from-file KEY=PATH>...";

const EXAMPLES: &str = "\
The value is kept, sealed, in the state directory of the running `keyward dev`; no manifest is edited.

Examples:
  keyward secret set anthropic-credentials --from-env api-key=ANTHROPIC_API_KEY
  pass show anthropic | keyward secret set anthropic-credentials --from-file api-key=-
  keyward secret set bedrock --from-env access_key_id=NEW_ID --from-env secret_access_key=NEW_KEY

Exit codes: 0 every Envoy uses it, 1 refused, or not acknowledged in time, 2 usage.";

/// Arguments of `keyward secret set`.
#[derive(clap::Args)]
#[group(id = "values", required = true, multiple = true, args = ["from_literal", "from_env", "from_file"])]
#[command(override_usage = USAGE)]
pub(super) struct SetArgs {
    /// The Secret
    #[arg(value_name = "[NS/]NAME")]
    secret: ObjectKey,
    /// A key and its value (other users of this machine can see it while this command runs)
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    from_literal: Vec<(String, String)>,
    /// A key and the environment variable that holds its value
    #[arg(long, value_name = "KEY=VAR", value_parser = pair)]
    from_env: Vec<(String, String)>,
    /// A key and the file that holds its value; - is standard input
    #[arg(long, value_name = "KEY=PATH", value_parser = pair)]
    from_file: Vec<(String, String)>,
    /// The manifests of the `keyward dev` to reach [default: the only one running]
    #[arg(long, value_name = "DIR", conflicts_with = "state_dir")]
    manifests: Option<PathBuf>,
    /// The state directory of the `keyward dev` to reach
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How long to wait until every connected Envoy uses the value, such as 5s or 500ms
    #[arg(long, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Return as soon as the value is stored
    #[arg(long)]
    no_wait: bool,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=…"),
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    crate::compile::go_duration(text).ok_or("not a duration such as 5s or 500ms")
}

pub(super) fn run(command: Command) -> Result<ExitCode, Failure> {
    let Command::Set(args) = command;
    let variables: Vec<String> = args.from_env.iter().map(|(_, name)| name.clone()).collect();
    let taken = hardening::take_variables(&variables)?;
    let socket =
        control_socket(args.state_dir.as_deref(), args.manifests.as_deref()).map_err(Failure::failed)?;
    let request = SetSecret {
        secret: args.secret.clone(),
        values: values(&args, &taken)?,
        wait: (!args.no_wait).then_some(args.timeout),
    };
    let progress = Progress::of("waiting until every Envoy uses it");
    let answer = send(&socket, &request).map_err(|error| no_answer(&socket, &error))?;
    drop(progress);
    report(&request.secret, answer)
}

fn report(secret: &ObjectKey, answer: Answer) -> Result<ExitCode, Failure> {
    match answer {
        Answer::Done { proxies, note } => {
            if let Some(note) = note {
                eprintln!("note: {note}");
            }
            let s = if proxies == 1 { "" } else { "s" };
            print::line(&format!("secret/{} set, used by {proxies} gateway{s}", secret.name))?;
            Ok(ExitCode::SUCCESS)
        }
        Answer::Refused { message } | Answer::TimedOut { message } => Err(Failure::Failed(message)),
    }
}

fn values(args: &SetArgs, taken: &Taken) -> Result<BTreeMap<String, Secret>, Failure> {
    let literals =
        args.from_literal.iter().map(|(key, value)| (key, Ok(Secret::new(value.clone().into_bytes()))));
    let variables = args.from_env.iter().map(|(key, name)| (key, from_env(taken, key, name)));
    let files = args.from_file.iter().map(|(key, path)| (key, from_file(key, path)));
    let mut values = BTreeMap::new();
    for (key, value) in literals.chain(variables).chain(files) {
        if values.insert(key.clone(), value?).is_some() {
            return Err(Failure::Usage(format!("key `{key}` is given twice")));
        }
    }
    Ok(values)
}

fn from_env(taken: &Taken, key: &str, name: &str) -> Result<Secret, Failure> {
    // Exposed to be copied: two keys may be given the same variable.
    let value = taken.find(name).map(|value| Secret::new(value.expose().to_vec()));
    value.ok_or_else(|| Failure::Failed(format!("--from-env {key}={name}: the variable is not set")))
}

fn from_file(key: &str, path: &str) -> Result<Secret, Failure> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut bytes).map(drop),
        path => std::fs::read(path).map(|content| bytes = content),
    };
    read.map_err(|error| Failure::Failed(format!("--from-file {key}={path}: {error}")))?;
    Ok(Secret::new(bytes))
}
