//! A verdict in words, and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::request::Request;
use super::verdict::{Forwarded, Refused, Verdict};
use crate::cli::findings::{Finding, Severity};
use crate::plan::ObjectKey;

/// What `--json` prints; the names of its fields are stable.
#[derive(Serialize)]
pub(super) struct Report {
    gateway: String,
    method: String,
    /// Without the query.
    url: String,
    /// `injected`, `signed`, `passed`, `untouched`, `denied`, `closed` or `undecided`.
    verdict: &'static str,
    /// The exact reason, as docs/reasons.md has it.
    reason: Option<&'static str>,
    /// The route whose rule matched.
    route: Option<String>,
    /// What is put in.
    credentials: Vec<Credential>,
    removed: Names,
    set: Names,
    /// What the agent is answered; absent where the request goes upstream or the connection is closed.
    answer: Option<Answer>,
    /// One sentence.
    explanation: String,
    /// What in the manifests is the cause.
    causes: Vec<Finding>,
}

#[derive(Serialize)]
struct Credential {
    /// `namespace/name` of the CredentialInjectionPolicy.
    policy: String,
    place: String,
}

#[derive(Serialize, Default)]
struct Names {
    headers: Vec<String>,
    query: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    status: u32,
    /// The header `x-keyward-reason`.
    reason: String,
}

/// The findings that a refusal for want of a credential comes from.
pub(super) fn causes(findings: Vec<Finding>, verdict: &Verdict, gateway: &ObjectKey) -> Vec<Finding> {
    let Verdict::Denied(Refused { coarse, route: Some(route), .. }) = verdict else { return Vec::new() };
    if coarse != "credential_unavailable" {
        return Vec::new();
    }
    let name = route.rsplit('/').next().unwrap_or(route);
    let about = [format!("AIProviderRoute {name}"), format!("EgressGateway {}", gateway.name)];
    let namespace = format!("CredentialInjectionPolicy {}/", route.split('/').next().unwrap_or_default());
    let concerns = |finding: &Finding| {
        let object = finding.object.as_deref().unwrap_or_default();
        let of_policy = object.starts_with(&namespace)
            && finding.about.as_ref().is_some_and(|target| about.contains(target));
        finding.severity == Severity::Error && (object == format!("AIProviderRoute {route}") || of_policy)
    };
    findings.into_iter().filter(concerns).collect()
}

impl Report {
    pub(super) fn new(
        gateway: &ObjectKey,
        request: &Request,
        verdict: Verdict,
        causes: Vec<Finding>,
    ) -> Report {
        let report = Report {
            gateway: gateway.to_string(),
            method: request.method.clone(),
            url: request.shown_url.clone(),
            verdict: "undecided",
            reason: None,
            route: None,
            credentials: Vec::new(),
            removed: Names::default(),
            set: Names::default(),
            answer: None,
            explanation: String::new(),
            causes,
        };
        match verdict {
            Verdict::Forwarded(forwarded) => report.forwarded(forwarded),
            Verdict::Denied(refused) => report.denied(refused),
            Verdict::Untouched => Report {
                verdict: "untouched",
                explanation:
                    "no route names this host, and the gateway does not intercept it: its bytes pass as they \
                              are, with whatever credential the agent has"
                        .to_owned(),
                ..report
            },
            Verdict::Closed(why) => Report {
                verdict: "closed",
                explanation: format!("the connection is closed: {why}"),
                ..report
            },
            Verdict::NeedsModel => Report {
                explanation:
                    "which rule it is for depends on the model in its body; ask again with --model NAME"
                        .to_owned(),
                ..report
            },
        }
    }

    fn forwarded(self, forwarded: Forwarded) -> Report {
        let Forwarded { decision, reason, route, credentials, .. } = forwarded;
        let explanation = match reason {
            _ if !credentials.is_empty() => {
                "it goes to the provider with this gateway's credential".to_owned()
            }
            Some(reason) => format!("it goes on without a credential ({reason})"),
            None => "it goes on without a credential".to_owned(),
        };
        let removed = Names {
            headers: forwarded.removed_headers.into_iter().collect(),
            query: forwarded.removed_query.into_iter().collect(),
        };
        let set = Names {
            headers: forwarded.set_headers.into_iter().collect(),
            query: forwarded.set_query.into_iter().collect(),
        };
        let credentials = credentials.into_iter().map(|it| Credential { policy: it.policy, place: it.place });
        Report {
            verdict: decision,
            reason,
            route,
            credentials: credentials.collect(),
            removed,
            set,
            explanation,
            ..self
        }
    }

    fn denied(self, refused: Refused) -> Report {
        let Refused { exact, coarse, status, route } = refused;
        let explanation = format!(
            "it is refused here and never reaches the provider; docs/troubleshooting.md#{coarse} says what to do"
        );
        let answer = Some(Answer { status, reason: coarse });
        Report { verdict: "denied", reason: Some(exact), route, answer, explanation, ..self }
    }

    /// Writes it for people.
    pub(super) fn write(&self, output: &mut impl Write) -> io::Result<()> {
        writeln!(output, "{} {}: {}", self.method, self.url, self.verdict)?;
        self.line(output, "gateway", &[format!("EgressGateway {}", self.gateway)])?;
        self.line(output, "route", self.route.as_slice())?;
        self.line(output, "reason", &self.reason.map(str::to_owned).into_iter().collect::<Vec<_>>())?;
        for Credential { policy, place } in &self.credentials {
            self.line(output, "puts in", &[format!("{place}, by CredentialInjectionPolicy {policy}")])?;
        }
        // What a credential's place says already is not said again.
        let is_new = |name: &String| !self.credentials.iter().any(|it| it.place.starts_with(name.as_str()));
        self.line(output, "sets", &named(&self.set).into_iter().filter(is_new).collect::<Vec<_>>())?;
        self.line(output, "takes out", &named(&self.removed))?;
        if let Some(Answer { status, reason }) = &self.answer {
            self.line(output, "agent sees", &[format!("{status}, x-keyward-reason: {reason}")])?;
        }
        self.line(output, "so", std::slice::from_ref(&self.explanation))?;
        let causes: Vec<String> = self.causes.iter().map(ToString::to_string).collect();
        causes.iter().try_for_each(|cause| self.line(output, "cause", std::slice::from_ref(cause)))
    }

    fn line(&self, output: &mut impl Write, label: &str, parts: &[String]) -> io::Result<()> {
        if parts.is_empty() { Ok(()) } else { writeln!(output, "  {label:<12}{}", parts.join(", ")) }
    }
}

fn named(names: &Names) -> Vec<String> {
    let headers = names.headers.iter().map(|name| format!("header {name}"));
    headers.chain(names.query.iter().map(|name| format!("query parameter {name}"))).collect()
}
