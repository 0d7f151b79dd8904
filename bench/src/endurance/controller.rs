//! The controller alone, as a process that can be killed without its Envoy: the parts of `keyward dev` that are not
//! about running an Envoy, in the same order.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::controller::certificates::{Leaves, MintPolicy};
use ::controller::compile::compile;
use ::controller::envoy::{Placement, resources};
use ::controller::inputs::Inputs;
use ::controller::plan::{GatewayPlan, ObjectKey};
use ::controller::source::{Directory, Overrides};
use ::controller::state::{StateDir, socket};
use ::controller::xds::{GatewayHandle, Kind, Resource, Server, Snapshot};
use policy::seal::Keyring;
use time::OffsetDateTime;

/// The line that it prints once an Envoy holds everything.
pub(super) const SETTLED: &str = "settled";

/// Serve a directory of manifests to an Envoy that another process runs (part of `endurance`)
#[derive(clap::Args)]
pub struct Args {
    /// Directory of manifests with one gateway
    #[arg(long)]
    manifests: PathBuf,
    /// State directory
    #[arg(long)]
    state: PathBuf,
    /// Socket to serve at
    #[arg(long)]
    xds: PathBuf,
    /// Address of the gateway's proxy port
    #[arg(long)]
    proxy: SocketAddr,
    /// The filter module
    #[arg(long)]
    module: PathBuf,
}

/// The gateway of the generated world.
pub(super) fn gateway() -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: "scale".to_owned() }
}

/// Serves for ever. Panics when it cannot start.
pub async fn run(args: &Args) {
    let state = StateDir::open(&args.state).expect("a state directory");
    let keyring = Keyring::parse(&state.keyring().expect("a keyring")).expect("a keyring");
    let authority = state.authority(&gateway(), OffsetDateTime::now_utc()).expect("an authority");
    let server = Server::new();
    let handle = server.gateway(gateway(), Leaves::new(authority));
    let listener = socket::bind(&args.xds).expect("a socket");
    tokio::spawn(server.serve(listener, std::future::pending()));
    let mut directory = Directory::open(&args.manifests).expect("manifests");
    let mut first = true;
    loop {
        let loaded = directory.load(&Overrides::default());
        let compiled = compile(&Inputs::from_objects(&loaded.objects), |_| &keyring, "");
        let plan = compiled.gateways.get(&gateway()).expect("a gateway that is accepted");
        let snapshot = snapshot(plan, args);
        handle.allow(MintPolicy::of(plan));
        handle.publish(snapshot.clone());
        if std::mem::take(&mut first) {
            tokio::spawn(tell(handle.clone(), snapshot));
        }
        directory.changed().await;
    }
}

fn snapshot(plan: &GatewayPlan, args: &Args) -> Snapshot {
    let placement = Placement { proxy: args.proxy, transparent: None, module: args.module.clone(), epoch: 0 };
    let resources = resources(plan, &placement).expect("a plan that does not contradict itself");
    let known = resources.into_iter().filter_map(|resource| {
        Some((Kind::from_url(&resource.type_url)?, Resource::new(resource.name, resource.body)))
    });
    known.collect()
}

/// Says once that an Envoy is connected and holds listeners: what changes meanwhile does not matter.
async fn tell(handle: GatewayHandle, snapshot: Snapshot) {
    let listeners: Snapshot =
        snapshot.of(Kind::Listener).map(|resource| (Kind::Listener, resource.clone())).collect();
    let mut acks = handle.acks();
    if acks.wait_for(|acks| acks.connected() > 0 && acks.settled(&listeners)).await.is_ok() {
        println!("{SETTLED}");
    }
}
