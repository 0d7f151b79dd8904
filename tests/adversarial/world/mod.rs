//! What stands around the proxy under attack: a network whose names, addresses and certificates are the suite's own.
//!
//! Providers listen on port 443 of public-looking addresses on the loopback interface, a resolver answers for their
//! names, and the system's CA bundle trusts them: so the proxy goes the way that it goes in production. No packet can
//! leave, because the network has no other interface.

mod dns;
mod echo;
mod files;
mod forward_proxy;
mod netlink;
mod plain;
mod script;
mod site;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use harness::gateway::HOST;
use harness::provider::{Authority, Behaviour, Identity, Options, Provider};
use harness::scenario::KEY;

pub(crate) use dns::Zone;
pub(crate) use echo::Echo;
pub(crate) use forward_proxy::ForwardProxy;
pub(crate) use plain::Plain;
pub(crate) use script::{Lines, Script};
pub(crate) use site::Site;

use files::Files;
use netlink::Loopback;

/// A host that no rule names.
pub(crate) const OTHER: &str = "other.example";
/// A second host with a credential of its own, where the operator says so.
pub(crate) const SECOND: &str = "api.openai.com";
/// A host of the attacker's: its certificate is valid for its own name and for every other one here.
pub(crate) const HOSTILE: &str = "hostile.example";

const RESOLVER: IpAddr = ip(53);
/// Where the attacker's host is.
pub(crate) const HOSTILE_ADDRESS: IpAddr = ip(66);

/// A public-looking address of the suite's network. None of the networks that are private by any standard.
pub(crate) const fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(11, 22, 33, last))
}

/// The surroundings. They end when dropped.
pub(crate) struct World {
    /// Where names lead.
    pub(crate) zone: Zone,
    /// The provider whose key the agent must not get: `api.anthropic.com`.
    pub(crate) anthropic: Site,
    /// Another provider, with or without a credential: `api.openai.com`.
    pub(crate) second: Site,
    /// A host that no rule names.
    pub(crate) other: Site,
    /// The attacker's host.
    pub(crate) hostile: Site,
    /// Port 80 of every address: what arrives there was sent in the clear.
    pub(crate) cleartext: Plain,
    authority: Arc<Authority>,
    loopback: Loopback,
    files: Files,
}

impl World {
    /// Sets it up in the namespaces of this process.
    ///
    /// # Errors
    /// What is missing, by name.
    pub(crate) async fn start() -> Result<World, String> {
        let loopback = Loopback::open().map_err(|error| format!("no netlink socket: {error}"))?;
        loopback.up().map_err(|error| format!("the loopback interface cannot be brought up: {error}"))?;
        let own = (1..=100).map(ip);
        for address in own {
            add(&loopback, address)?;
        }
        let zone = Zone::default();
        let resolver = SocketAddr::new(RESOLVER, 53);
        let served = dns::serve(zone.clone(), resolver).await;
        served.map_err(|error| format!("the resolver cannot listen at {resolver}: {error}"))?;
        let authority = Arc::new(Authority::new("providers of the adversarial suite"));
        let files = Files::mount(RESOLVER, authority.pem())?;
        let cleartext = Plain::listen(SocketAddr::from(([0, 0, 0, 0], 80))).await?;
        let everyone = [HOSTILE, HOST, SECOND, OTHER];
        let world = World {
            anthropic: site(&authority, ip(1), &[HOST], Identity::Valid).await?,
            second: site(&authority, ip(2), &[SECOND], Identity::Valid).await?,
            other: site(&authority, ip(3), &[OTHER], Identity::Valid).await?,
            hostile: site(&authority, HOSTILE_ADDRESS, &everyone, Identity::Valid).await?,
            cleartext,
            zone,
            authority,
            loopback,
            files,
        };
        world.reset();
        Ok(world)
    }

    /// The providers that are always there, with the name of each.
    pub(crate) fn sites(&self) -> [(&'static str, &Site); 4] {
        [(HOST, &self.anthropic), (SECOND, &self.second), (OTHER, &self.other), (HOSTILE, &self.hostile)]
    }

    /// A further listener for a row: a provider at port 443 of an address, with a certificate for these names (or one
    /// that is wrong). It does not touch the resolver. It ends when dropped.
    pub(crate) async fn site(&self, address: IpAddr, names: &[&str], identity: Identity) -> Site {
        self.address(address);
        site(&self.authority, address, names, identity).await.expect("a listener on port 443")
    }

    /// Puts a further address on the interface.
    pub(crate) fn address(&self, address: IpAddr) {
        if !is_own(address) {
            add(&self.loopback, address).expect("an address on the loopback interface");
        }
    }

    /// A further provider for a row, that answers with bytes of the row's choice: at port 443 of an address, with a
    /// certificate for this name, to which the resolver leads. It ends when dropped.
    pub(crate) async fn script(&self, address: IpAddr, name: &str, lines: Lines) -> Script {
        let tls = self.authority.server_config(&[name.to_owned()], Identity::Valid, &[lines.alpn()]);
        self.zone.set(name, &[address]);
        Script::start(SocketAddr::new(address, 443), tls.into(), lines).await
    }

    /// A further listener that speaks HTTP/1.1 only, so that every byte of a request can be seen.
    pub(crate) async fn http1_site(&self, address: IpAddr, name: &str) -> Site {
        self.zone.set(name, &[address]);
        let (listen, names) = (SocketAddr::new(address, 443), vec![name.to_owned()]);
        let options = Options { listen, names, alpn: vec!["http/1.1"], ..Options::default() };
        Site::new(Provider::start_under(&self.authority, options).await.expect("a listener on port 443"))
    }

    /// The certificate of the providers' CA, PEM.
    pub(crate) fn ca(&self) -> &str {
        self.authority.pem()
    }

    /// The CA bundle that trusts the providers: what a proxy verifies upstreams with.
    pub(crate) fn bundle(&self) -> &Path {
        self.files.bundle()
    }

    /// Forgets what was received, restores names and behaviour: what the next case sees is its own.
    pub(crate) fn reset(&self) {
        for (name, site) in self.sites() {
            let key = (name == HOST).then(|| KEY.to_owned());
            site.provider.behave(|behaviour| *behaviour = Behaviour { key, ..Behaviour::default() });
            site.forget();
        }
        for (name, last) in [(HOST, 1), (SECOND, 2), (OTHER, 3), (HOSTILE, 66)] {
            self.zone.set(name, &[ip(last)]);
        }
        self.cleartext.forget();
    }
}

fn add(loopback: &Loopback, address: IpAddr) -> Result<(), String> {
    loopback
        .add(address)
        .map_err(|error| format!("{address} cannot be put on the loopback interface: {error}"))
}

/// Whether the interface has it from the start.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || (1..=100).any(|last| ip(last) == address)
}

async fn site(
    authority: &Arc<Authority>,
    address: IpAddr,
    names: &[&str],
    identity: Identity,
) -> Result<Site, String> {
    let names = names.iter().map(ToString::to_string).collect();
    let options = Options { listen: SocketAddr::new(address, 443), names, identity, ..Options::default() };
    let provider = Provider::start_under(authority, options).await;
    Ok(Site::new(
        provider.map_err(|error| format!("no provider can listen at {address}, port 443: {error}"))?,
    ))
}
