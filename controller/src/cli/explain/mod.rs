//! `keyward explain`: what a gateway would do with one request, without a gateway and without sending it.
//!
//! The filter's own decision on the configuration that the controller would send it, after what the Envoy
//! configuration of the same plan says of the connection ([`walk`]). No rule is written down here a second time.

mod report;
mod request;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use super::offline::Offline;
use super::{Failure, findings, print};
use crate::plan::{GatewayPlan, ObjectKey};
use crate::source::SecretFlag;

/// Say what a gateway would do with a request
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory of manifests (*.yaml)
    #[arg(long, value_name = "DIR")]
    manifests: PathBuf,
    /// The EgressGateway, where there are several
    #[arg(long, value_name = "[NS/]NAME")]
    gateway: Option<ObjectKey>,
    /// Take a Secret's value from an environment variable instead of its manifest, as `keyward dev` does
    #[arg(long, value_name = "[NS/]NAME=ENVVAR[:KEY]")]
    secret: Vec<SecretFlag>,
    /// The model that the request's JSON body names
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A header of the request
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = request::header)]
    headers: Vec<(String, String)>,
    /// The TLS server name, where it is not the host of the URL; nothing for none
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// As a connection that was redirected to the transparent port
    #[arg(long)]
    transparent: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// GET, POST, …
    method: String,
    /// https://HOST[:PORT]/PATH, exactly as the client would send it
    url: String,
}

const EXAMPLES: &str = "\
Nothing is sent and nothing is started. It says which route matches, what is taken out of the request, what is put in
(names and credentials' ids, never values), or why not: the reason of docs/reasons.md, and what the agent would see.
Whether the provider can be reached is not looked at, and tokens of Google service accounts count as obtained.

Examples:
  keyward explain --manifests examples/anthropic --secret anthropic-credentials=ANTHROPIC_API_KEY \\
    -H 'x-api-key: clrk-injected-by-proxy' POST https://api.anthropic.com/v1/messages
  keyward explain --manifests manifests --model gpt-5 POST https://api.openai.com/v1/responses
  keyward explain --manifests manifests --gateway team/egress --json GET http://packages.example.com/simple/

Exit codes: 0 it would pass (with a credential, without one, or untouched), 1 it would be refused,
2 usage, or the model is needed to tell.";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let request = request::Request::parse(args)?;
    let offline = Offline::read(&args.manifests, &args.secret)?;
    let plan = gateway(args, &offline)?;
    let verdict = verdict::of(plan, &offline, &request)?;
    let causes = report::causes(findings::all(&offline), &verdict, &plan.key);
    let code = verdict.exit_code();
    let report = report::Report::new(&plan.key, &request, verdict, causes);
    if args.json {
        print::json(&report)?
    } else {
        print::text(|output| report.write(output))?
    }
    Ok(ExitCode::from(code))
}

/// The plan of the gateway that is meant.
fn gateway<'a>(args: &Args, offline: &'a Offline) -> Result<&'a GatewayPlan, Failure> {
    let plans = &offline.compiled.gateways;
    let names = || plans.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut all = plans.values();
    match (&args.gateway, all.next(), all.next()) {
        (_, None, _) => Err(Failure::Failed(format!(
            "{0}: no EgressGateway can serve; `keyward validate {0}` says why",
            args.manifests.display()
        ))),
        (None, Some(only), None) => Ok(only),
        (None, ..) => {
            Err(Failure::Usage(format!("there are several gateways; name one by --gateway: {}", names())))
        }
        (Some(key), ..) => plans.get(key).ok_or_else(|| {
            Failure::Usage(format!("--gateway: no EgressGateway {key} can serve; there is: {}", names()))
        }),
    }
}
