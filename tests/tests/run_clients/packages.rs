//! pip and npm at a package index that no route names: read through the gateway, and let through untouched.

use harness::gateway::Manifests;
use harness::provider::Provider;

use super::session::Session;
use super::world::World;
use super::{assert_no_key, recipes};

/// Installs a package with each, and looks whether it is there.
async fn check(world: &World, manifests: &Manifests, trusting: Option<&Provider>) {
    let mut run = world.run(manifests);
    if let Some(provider) = trusting {
        let ca = provider.ca_file().display().to_string();
        run = run.environment("PIP_CERT", &ca).environment("NPM_CONFIG_CAFILE", &ca);
    }
    let mut session = Session::start(run);
    let pip = session.client(&recipes::of("pip"), &["python-sdks/bin"]).await.well("pip");
    let module = std::fs::read_to_string(pip.folder.join("packages/keyward_hello.py"));
    assert!(module.expect("the module that pip installed").contains("Hello!"));
    let npm = session.client(&recipes::of("npm"), &[]).await.well("npm");
    let module = std::fs::read_to_string(npm.folder.join("node_modules/keyward-hello/index.js"));
    assert!(module.expect("the module that npm installed").contains("Hello!"));
    let paths: Vec<_> = world.packages.requests().into_iter().map(|received| received.path).collect();
    for path in ["/simple/keyward-hello/", "/keyward-hello"] {
        assert!(paths.iter().any(|asked| asked == path), "{path} is not among {paths:?}");
    }
    assert_no_key(&world.packages, "pip and npm");
    session.ended().await;
}

#[tokio::test]
async fn pip_and_npm_install_from_an_index_that_is_read_through_the_gateway() {
    let world = World::start().await;
    check(&world, &world.manifests(), None).await;
}

/// Then they see the index's own certificate: what the user's variables named is trusted besides the gateway's CA.
#[tokio::test]
async fn pip_and_npm_install_from_an_index_that_is_let_through_untouched() {
    let world = World::start().await;
    let manifests = world.manifests().gateway_spec("interception: Routes");
    check(&world, &manifests, Some(&world.packages)).await;
}
