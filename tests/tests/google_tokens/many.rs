//! One account for everything that uses it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::artefacts;
use harness::gateway::Manifests;
use harness::google::{Account, Key, Service, TokenEndpoint};
use harness::objects;

use super::{ask, service_account, with_account};

/// An executable that runs Envoy with four workers, whatever it is told.
fn envoy_with_four_workers(folder: &Path) -> PathBuf {
    let path = folder.join("envoy-with-four-workers");
    let text = format!(
        "#!/usr/bin/env bash\nargs=(\"$@\")\nfor i in \"${{!args[@]}}\"; do\n  \
         [ \"${{args[i]}}\" != --concurrency ] || args[i+1]=4\ndone\nexec {} \"${{args[@]}}\"\n",
        artefacts::envoy().display()
    );
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("an executable");
    path
}

/// A gateway that two of three routes attach to, and a second one.
fn two_gateways(service: &Service, hosts: &[&str]) -> Manifests {
    let mut manifests = Manifests::empty().alias_at(hosts, service.port(), service.ca());
    for name in ["a", "b"] {
        manifests = manifests.file(&format!("{name}.yaml"), &objects::gateway(name, "deny-all"));
    }
    for (index, host) in hosts.iter().enumerate() {
        let name = format!("r{index}");
        let objects = [
            objects::route(&name, &["a", "b"], &format!("{{provider: custom, hosts: [{host}]}}")),
            objects::policy(&name, "vertex-ai-account", &service_account("{}")),
        ];
        manifests = manifests.file(&format!("{name}.yaml"), &objects.concat());
    }
    manifests
}

#[tokio::test]
async fn one_exchange_serves_two_gateways_of_four_workers_each_and_every_route() {
    let hosts = ["one.google.example", "two.google.example", "three.google.example"];
    let endpoint = TokenEndpoint::start().await;
    let service = Service::trusting(&endpoint, &hosts).await;
    let folder = tempfile::tempdir().unwrap();
    let account = Account::robot(Key::One, &endpoint.uri("/token"));
    let gateway = with_account(two_gateways(&service, &hosts), &account)
        .gateways(&["default/a", "default/b"])
        .envoy(envoy_with_four_workers(folder.path()))
        .start()
        .await;
    for name in ["default/a", "default/b"] {
        let agents: Vec<&str> = hosts.into_iter().cycle().take(24).collect();
        let answers = agents.into_iter().map(|host| {
            let ready = gateway.named(name).clone();
            tokio::spawn(async move { ask(&ready, host).await.status })
        });
        for answer in answers.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), 200);
        }
    }
    let commands: Vec<_> = gateway.processes().into_iter().map(|(_, command)| command).collect();
    assert_eq!(commands.iter().filter(|command| command.contains("--concurrency 4")).count(), 2);
    let calls = service.take_calls();
    assert_eq!(calls.len(), 48);
    assert!(calls.iter().all(|call| call.accepted));
    assert_eq!(endpoint.asked(), 1);
}
