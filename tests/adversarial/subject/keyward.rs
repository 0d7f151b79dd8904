//! `keyward dev` with the worked example and no alias: names are resolved as in production.

use harness::gateway::{Builder, Gateway, Manifests, NAME};
use harness::objects;
use harness::scenario::KEY;

use crate::scenario::Scenario;

/// The key of `api.openai.com`, where a scenario has one.
pub(crate) const SECOND_KEY: &str = "sk-second-real-8Hd2nW5rQ7pL0tVx";

/// A route and policy for a second host.
fn second() -> String {
    [
        objects::secret("second-credentials", &[("token", SECOND_KEY)]),
        objects::route("second", &[NAME], "{provider: openai}"),
        objects::policy("second", "second-credentials", objects::BEARER),
    ]
    .concat()
}

/// The gateway of a scenario, ready.
pub(crate) async fn start(scenario: &Scenario) -> Gateway {
    builder(scenario).start().await
}

/// The gateway of a scenario, for rows that start it in a way of their own.
pub(crate) fn builder(scenario: &Scenario) -> Builder {
    let mut builder = Gateway::builder(manifests(scenario)).transparent_at("0.0.0.0:0");
    if scenario.trapping {
        builder = builder.module(harness::artefacts::trapping_module());
    }
    if scenario.no_secret { builder } else { builder.key(KEY) }
}

/// The manifests of a scenario; the worked example stands in `example.yaml`.
pub(crate) fn manifests(scenario: &Scenario) -> Manifests {
    let mut manifests = Manifests::worked_example();
    if scenario.deny_all {
        manifests = manifests.deny_all();
    }
    if scenario.others_pass {
        manifests = manifests.gateway_spec("interception: Routes");
    }
    for (old, new) in &scenario.replaced {
        manifests = manifests.replace(old, new);
    }
    for line in &scenario.lines {
        manifests = manifests.gateway_spec(line);
    }
    if scenario.second_credential {
        manifests = manifests.file("second.yaml", &second());
    }
    scenario.manifests.iter().fold(manifests, |manifests, (name, text)| manifests.file(name, text))
}
