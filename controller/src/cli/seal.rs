//! `keyward seal`: a filter configuration whose credentials, and headers for collectors, are named becomes one in which
//! they are sealed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policy::rules::{self, RuleSet, Vault};
use policy::seal::{Binding, Keyring};
use policy::secret::Secret;
use policy::wire::{Config, Outcome, Target, Telemetry};
use zeroize::Zeroizing;

use super::{Failure, print};
use crate::compile::collector_header;
use crate::google::ServiceAccount;

/// Seal the credentials of a filter configuration, for an Envoy that runs without a controller.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Filter configuration (JSON) in which each `sealed` reads `env:VARIABLE` or `file:PATH`
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// File with the sealing keys, newest first, as `keyward keyring new` prints them
    #[arg(long, value_name = "FILE")]
    keyring_file: PathBuf,
}

const EXAMPLES: &str = "\
A sealed value opens only in the rule it was sealed for: change the rule's hosts, endpoints, names or gateway, and
seal again. A header for a collector opens for its cluster, authority and path. The Envoy gets the same keys in the
environment variable KEYWARD_KEYRING.

For the target aws_v4 the value is a line with the access key id, one with the secret access key and perhaps one with
the session token; for google_jwt it is the JSON key file of a service account.

Example:
  keyward seal filter.json --keyring-file keyring > filter.sealed.json";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let keyring = read_keyring(&args.keyring_file)?;
    let mut config = read_config(&args.config)?;
    seal(&mut config, &keyring)?;
    let gateway = config.gateway.clone();
    config.telemetry.iter_mut().try_for_each(|telemetry| seal_headers(&gateway, telemetry, &keyring))?;
    let bytes = serde_json::to_vec(&config).map_err(Failure::failed)?;
    RuleSet::compile(&bytes, &mut Vault::default()).map_err(|error| named(&args.config, error))?;
    print::line(&String::from_utf8_lossy(&bytes))?;
    Ok(ExitCode::SUCCESS)
}

fn read_keyring(path: &Path) -> Result<Keyring, Failure> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| named(path, error))?);
    Keyring::parse(text.trim_end()).map_err(|error| named(path, error))
}

fn read_config(path: &Path) -> Result<Config, Failure> {
    let bytes = std::fs::read(path).map_err(|error| named(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| named(path, error))
}

fn named(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Failed(format!("{}: {error}", path.display()))
}

fn seal(config: &mut Config, keyring: &Keyring) -> Result<(), Failure> {
    let whole = config.clone();
    for (index, rule) in config.rules.iter_mut().enumerate() {
        let Outcome::Inject(injections) = &mut rule.then else { continue };
        for (place, injection) in injections.iter_mut().enumerate() {
            let field = format!("rules[{index}].then.inject[{place}].sealed");
            let missing =
                || Failure::Failed(format!("rules[{index}] names a table entry that does not exist"));
            let target = usize::try_from(injection.target).ok().and_then(|at| whole.targets.get(at));
            let target = target.ok_or_else(missing)?;
            let secret = sealable(target, &read_value(&field, &injection.sealed)?)
                .map_err(|why| Failure::Failed(format!("{field}: {why}")))?;
            let binding = whole.rules.get(index).and_then(|rule| whole.binding(rule, injection).ok());
            injection.sealed = keyring
                .seal(&binding.ok_or_else(missing)?, &secret)
                .map_err(|error| Failure::Failed(format!("{field}: {error}")))?;
        }
    }
    Ok(())
}

fn seal_headers(gateway: &str, telemetry: &mut Telemetry, keyring: &Keyring) -> Result<(), Failure> {
    for (index, collector) in telemetry.collectors.iter_mut().enumerate() {
        let whole = collector.clone();
        for (place, header) in collector.headers.iter_mut().enumerate() {
            let field = format!("telemetry.collectors[{index}].headers[{place}].sealed");
            let value = read_value(&field, &header.sealed)?;
            let (_, secret) = collector_header(&field, &header.name, &value).map_err(Failure::Failed)?;
            let binding = Binding::of_collector(gateway, &whole, &header.name);
            header.sealed = keyring
                .seal(&binding, &secret)
                .map_err(|error| Failure::Failed(format!("{field}: {error}")))?;
        }
    }
    Ok(())
}

/// A value as its target needs it.
fn sealable(target: &Target, value: &[u8]) -> Result<Secret, String> {
    match target {
        Target::GoogleJwt { .. } => {
            ServiceAccount::parse(value).map(|account| account.sealable()).map_err(|error| error.to_string())
        }
        Target::GoogleToken {} => {
            Err("a token ends within the hour; write the target google_jwt and seal the account".to_owned())
        }
        _ => rules::sealable(target, value).map_err(|error| error.to_string()),
    }
}

fn read_value(field: &str, reference: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |what: String| Failure::Failed(format!("{field}: {what}"));
    match reference.split_once(':') {
        Some(("env", name)) => std::env::var_os(name)
            .map(|value| Zeroizing::new(value.into_encoded_bytes()))
            .ok_or_else(|| failed(format!("the variable {name} is not set"))),
        Some(("file", path)) => {
            std::fs::read(path).map(Zeroizing::new).map_err(|error| failed(format!("{path}: {error}")))
        }
        // Not repeated in the message: somebody may have pasted the key itself.
        _ => Err(failed("write `env:VARIABLE` or `file:PATH`, never the value itself".into())),
    }
}
