//! `keyward run`: what `keyward dev` starts, around one command, which gets none of the keys.
//!
//! ```text
//! keys out of the environment ▶ objects ▶ a place for the command ▶ gateway ready ▶ the command ▶ summary
//! ```

mod args;
mod certificates;
mod command;
mod console;
mod dotenv;
mod environment;
mod java;
mod keys;
mod no_proxy;
mod node;
mod objects;
mod providers;
mod relay;
mod session;
mod upstream;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policy::host::HostPattern;
use policy::secret::{Secret, Unusable};

pub use args::Args;

use self::console::say;
use self::environment::Environment;
use self::keys::{Keys, Secrets};
use self::providers::Fill;
use self::session::Session;
use crate::cli::Failure;
use crate::dev::{self, Outline};
use crate::hardening;
use crate::plan::ObjectKey;
use crate::sandbox;
use crate::signals::Signals;
use crate::source::Overrides;
use crate::state::{StateDir, Temporary, temporary};

/// What is said of AWS keys: they are good for far more hosts than a row of the table could name.
const BEDROCK_ALONE: &str = "AWS keys are put in for Bedrock alone: other AWS services get the placeholder, and refuse it; \
     examples/aws-s3 shows manifests for one of them";

/// Runs a command. To be called while there is one thread.
///
/// # Errors
/// [`Failure`] where the command cannot be run; nothing was started, or all of it has ended.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let (mut user, secrets) = take(&args)?;
    if args.print_manifests {
        return print(&keys::find(&secrets, &user), &user);
    }
    let name = args.command.first().cloned().unwrap_or_default();
    command::look_for(&name, user.get(std::ffi::OsStr::new("PATH")))?;
    let withheld = environment::without_keys(&mut user, &secrets);
    let runtime = dev::runtime()?;
    let code = runtime.block_on(async {
        // Before anything is made or started, so that no signal leaves it behind.
        let signals = Signals::new(&sandbox::SIGNALS).map_err(Failure::failed)?;
        let runs = runs_directory()?;
        temporary::sweep(&runs);
        temporary::sweep(&std::env::temp_dir());
        let objects = match &args.manifests {
            None => Objects::found(&args, &secrets, &user, &runs)?,
            Some(manifests) => Objects::of(manifests.clone(), &args, &secrets)?,
        };
        let named = |name: &String| args.secret.iter().any(|flag| flag.variable == **name);
        let others = secrets
            .keys()
            .filter(|name| !named(name) && !providers::variables().any(|known| known == **name));
        for name in others.chain(&withheld) {
            say(args.quiet, &format!("{name} is kept from the command: a key is in its value"));
        }
        if let Some(note) = node::note(user.get(std::ffi::OsStr::new("PATH"))) {
            say(args.quiet, &note);
        }
        Session { args, user, secrets, objects }.run(signals).await
    });
    // Connections of a command that has ended are not waited for.
    runtime.shutdown_background();
    code
}

/// The user's environment, and out of it the values that the command must not get.
fn take(args: &Args) -> Result<(Environment, Secrets), Failure> {
    let environment = || -> Environment { std::env::vars_os().collect() };
    let flagged = args.secret.iter().map(|flag| flag.variable.clone());
    let mut names: Vec<String> = providers::variables().map(str::to_owned).chain(flagged).collect();
    let user = environment();
    let values: Vec<Secret> = names
        .iter()
        .filter_map(|name| user.get(std::ffi::OsStr::new(name)))
        .map(|value| Secret::new(value.as_encoded_bytes().to_vec()))
        .collect();
    // Other variables that hold a key are no less readable.
    let holding = environment::holding(&user, &values);
    names.extend(holding.into_iter().filter_map(|name| name.into_string().ok()));
    let mut taken = hardening::take_variables(&names)?;
    let names: Vec<String> = taken.names().map(str::to_owned).collect();
    let secrets = names.into_iter().filter_map(|name| Some((name.clone(), taken.remove(&name)?))).collect();
    let mut user = environment();
    user.remove(std::ffi::OsStr::new(hardening::HANDED_OVER));
    Ok((user, secrets))
}

/// Prints the objects for the keys that were found.
fn print(keys: &Keys, user: &Environment) -> Result<ExitCode, Failure> {
    let objects = made_of(keys, user, false)?;
    let written = std::io::stdout().write_all(objects.as_bytes());
    written.map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

/// The objects for the keys that were found, as YAML. Says what became of the others, and of the user's proxy.
fn made_of(keys: &Keys, user: &Environment, quiet: bool) -> Result<String, Failure> {
    if keys.used.is_empty() {
        return Err(no_key(keys));
    }
    let hosts: Vec<HostPattern> = keys.used.iter().flat_map(|key| key.place.patterns()).collect();
    let upstream = upstream::find(user, &hosts).map_err(Failure::Usage)?;
    for note in keys.notes.iter().chain(&upstream.note) {
        say(quiet, note);
    }
    Ok(objects::yaml(&keys.used, &upstream))
}

/// What is served, and for whom.
struct Objects {
    directory: PathBuf,
    flags: Overrides,
    /// The gateway that the command uses; nothing where none of the manifests can serve.
    gateway: Option<(ObjectKey, Outline)>,
    /// A directory of ours: state and manifests of a run without `--manifests`. Removed at the end.
    own: Option<Temporary>,
}

impl Objects {
    /// Objects for the keys that are found. `runs` is where they are kept.
    fn found(args: &Args, secrets: &Secrets, user: &Environment, runs: &Path) -> Result<Objects, Failure> {
        let keys = keys::find(secrets, user);
        let made = made_of(&keys, user, args.quiet)?;
        for key in &keys.used {
            let hosts: Vec<String> = key.place.patterns().iter().map(ToString::to_string).collect();
            let line = format!("{} stays here; requests to {} get it", key.row.variable(), hosts.join(", "));
            say(args.quiet, &line);
        }
        if keys.used.iter().any(|key| matches!(key.row.fill, Fill::Aws)) {
            say(args.quiet, BEDROCK_ALONE);
        }
        let own = Temporary::make(runs).map_err(|error| failed_in(runs, &error))?;
        let directory = own.path().join("manifests");
        let file = directory.join("run.yaml");
        std::fs::create_dir(&directory)
            .and_then(|()| std::fs::write(&file, made))
            .map_err(|error| Failure::Failed(format!("{}: {error}", file.display())))?;
        Ok(Objects { own: Some(own), ..Objects::read(directory, keys.overrides(secrets), args)? })
    }

    /// Those of the manifests, with the values of `--secret`.
    fn of(manifests: PathBuf, args: &Args, secrets: &Secrets) -> Result<Objects, Failure> {
        let mut flags = Overrides::default();
        for flag in &args.secret {
            let unusable = |why: &str| {
                Failure::Usage(format!("--secret {}: the variable {} {why}", flag.secret, flag.variable))
            };
            let value = secrets.get(&flag.variable).ok_or_else(|| unusable("is not set"))?;
            // Exposed to be judged; most other faults depend on what the value is used for.
            match Secret::credential(value.expose()) {
                Err(Unusable::Empty) => return Err(unusable("is empty; set it to the key")),
                Err(Unusable::Placeholder) => {
                    return Err(unusable("is the placeholder that agents send; set it to the key"));
                }
                _ => {}
            }
            // Exposed to become the value of the Secret that a policy reads.
            flags.flag(flag.secret.clone(), flag.key.clone(), value.expose().to_vec());
        }
        Objects::read(manifests, flags, args)
    }

    fn read(directory: PathBuf, flags: Overrides, args: &Args) -> Result<Objects, Failure> {
        let outlines = dev::outlines(&directory, &flags)?;
        let known = outlines.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let several = outlines.len() > 1;
        let mut candidates = outlines.into_iter();
        let gateway = match &args.gateway {
            Some(wanted) => {
                let found = candidates.find(|(key, _)| key == wanted);
                Some(found.ok_or_else(|| {
                    Failure::Usage(format!(
                        "--gateway {wanted}: no such EgressGateway can serve; the manifests have {}",
                        if known.is_empty() { "none" } else { &known }
                    ))
                })?)
            }
            None if several => {
                return Err(Failure::Usage(format!(
                    "several EgressGateways are among the manifests: name one by --gateway: {known}"
                )));
            }
            None => candidates.next(),
        };
        Ok(Objects { directory, flags, gateway, own: None })
    }
}

/// Where runs keep their objects and state: beside the state of every other `keyward` of this user, so that a command
/// from which all of that is hidden sees nothing of runs that start after it either.
fn runs_directory() -> Result<PathBuf, Failure> {
    let root =
        StateDir::open(dev::find::default_root().map_err(Failure::failed)?).map_err(Failure::failed)?;
    let runs = StateDir::open(root.path().join(dev::find::RUNS)).map_err(Failure::failed)?;
    Ok(runs.path().to_owned())
}

/// For what the command reads: it must see them.
fn temporary_directory() -> Result<Temporary, Failure> {
    let parent = std::env::temp_dir();
    Temporary::make(&parent).map_err(|error| failed_in(&parent, &error))
}

fn failed_in(parent: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("no directory can be made in {}: {error}", parent.display()))
}

fn no_key(keys: &Keys) -> Failure {
    let variables: Vec<&str> = providers::TABLE.iter().map(|row| row.variable()).collect();
    let notes: String = keys.notes.iter().map(|note| format!("{note}\n")).collect();
    Failure::Usage(format!(
        "{notes}no key is in the environment, so there is nothing to keep from the command. Set one of {}; or say by \
         --manifests and --secret what is to be served",
        variables.join(", ")
    ))
}
