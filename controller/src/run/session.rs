//! One run: the place for the command, the gateway, the command in it, until the command ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policy::host::HostPattern;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::console::{Console, say};
use super::environment::{self, Environment, Given};
use super::keys::Secrets;
use super::no_proxy::NoProxy;
use super::{Args, Objects, certificates, dotenv, providers, relay, temporary_directory};
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::dev::event::GatewayAddress;
use crate::dev::{self, trust};
use crate::plan::{DefaultPolicy, ObjectKey};
use crate::sandbox::{self, Isolation, Network, Program, REACHABLE, Refused, Sandbox};
use crate::signals::{self, Signals};
use crate::state::StateDir;
use crate::state::socket::short_root;

/// What a run is made of.
pub(super) struct Session {
    pub(super) args: Args,
    /// The user's environment, without keys.
    pub(super) user: Environment,
    pub(super) secrets: Secrets,
    pub(super) objects: Objects,
}

impl Session {
    /// Runs it, and returns what the command ended with.
    ///
    /// # Errors
    /// [`Failure`] where the command could not be run.
    pub(super) async fn run(mut self, mut signals: Signals) -> Result<ExitCode, Failure> {
        let dev = self.dev_args()?;
        let state = StateDir::open(self.state_path(&dev)?).map_err(Failure::failed)?;
        let mut place = self.place(&state).await?;
        // Of its own: the command reads it, and must not see the state directory.
        let files = temporary_directory()?;
        let (ready, gateways) = oneshot::channel();
        let console = Box::new(Console::new(self.args.quiet, ready));
        let flags = std::mem::take(&mut self.objects.flags);
        let command = async {
            let preparing = async {
                let waiting = (!self.args.quiet).then(|| Progress::of("keyward: starting the gateway"));
                let gateways = gateways.await.unwrap_or_default();
                drop(waiting);
                self.program(&mut place, &gateways, files.path())
            };
            let program = tokio::select! {
                signal = signals.next() => return Ok(signals::exit_code(signal)),
                program = preparing => program?,
            };
            // From here on a signal is the command's: one that comes while it starts is kept for it.
            let mut running = place.run(program).await?;
            running.wait(&mut signals).await.map(ExitCode::from).map_err(Failure::failed)
        };
        dev::run_until(dev, flags, console, command).await
    }

    /// What `dev` is started with.
    fn dev_args(&self) -> Result<dev::Args, Failure> {
        let own = self.objects.own.as_ref().map(|own| own.state());
        Ok(dev::Args {
            manifests: self.objects.directory.clone(),
            listen: Vec::new(),
            transparent_listen: Vec::new(),
            secret: Vec::new(),
            state_dir: self.args.state_dir.clone().or(own),
            envoy: self.args.envoy.clone(),
            module: self.args.module.clone(),
            envoy_connections: crate::envoy::bootstrap::Capacity::default().connections,
            envoy_heap: crate::envoy::bootstrap::Capacity::default().heap_mib,
            inspect_listen: self.args.inspect_listen,
            no_inspect: !self.args.inspect,
            no_usage: false,
            metrics_listen: None,
            json: false,
        })
    }

    fn state_path(&self, dev: &dev::Args) -> Result<PathBuf, Failure> {
        dev::find::state_path(dev.state_dir.as_deref(), &dev.manifests).map_err(Failure::failed)
    }

    /// A place for the command, from which it does not see what it must not.
    async fn place(&self, state: &StateDir) -> Result<Sandbox, Failure> {
        let quiet = self.args.quiet;
        let with_keys = match std::env::current_dir() {
            Ok(directory) => dotenv::with_keys(&directory, &self.secrets),
            Err(_) => Vec::new(),
        };
        let denies = self.objects.gateway.as_ref().map(|(_, outline)| outline.default_policy);
        let own_network = match self.args.network {
            Network::Auto => denies == Some(DefaultPolicy::DenyAll),
            Network::Gateway => true,
            Network::Host => false,
        };
        if self.args.isolate == Isolation::Off {
            if self.args.network == Network::Gateway {
                let message =
                    "--network=gateway needs isolation: leave out --isolate=off, or choose --network=host";
                return Err(Failure::Usage(message.to_owned()));
            }
            self.not_isolated("--isolate=off", &with_keys);
            return Ok(sandbox::none());
        }
        let hidden = self.hidden(state, &with_keys)?;
        let refused = match open(hidden.clone(), own_network).await {
            Ok(place) => return Ok(self.isolated(place, &with_keys)),
            Err(refused) => refused,
        };
        let is_needed = self.args.isolate == Isolation::Require || self.args.network == Network::Gateway;
        if is_needed || !refused.is_of_the_kernel() {
            return Err(Failure::Failed(format!("the command cannot be isolated: {refused}")));
        }
        // Perhaps it is the network alone that is refused.
        if own_network && let Ok(place) = open(hidden, false).await {
            say(quiet, &format!("no network of its own: {refused}; the command can reach every address"));
            return Ok(self.isolated(place, &with_keys));
        }
        self.not_isolated(&refused.to_string(), &with_keys);
        Ok(sandbox::none())
    }

    fn isolated(&self, place: Sandbox, with_keys: &[PathBuf]) -> Sandbox {
        for path in with_keys {
            say(
                self.args.quiet,
                &format!("{} holds a key: the command sees an empty file there", path.display()),
            );
        }
        place
    }

    fn not_isolated(&self, why: &str, with_keys: &[PathBuf]) {
        say(
            self.args.quiet,
            &format!("not isolated ({why}): the command can reach {}", REACHABLE.join("; ")),
        );
        for path in with_keys {
            say(self.args.quiet, &format!("{} holds a key, and the command can read it", path.display()));
        }
    }

    /// What the command must not see: the state of every `keyward`, sockets, manifests, files with keys.
    fn hidden(&self, state: &StateDir, with_keys: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
        let mut hidden = vec![state.path().to_owned(), self.objects.directory.clone()];
        hidden.push(dev::find::default_root().map_err(Failure::failed)?);
        hidden.push(short_root().map_err(Failure::failed)?);
        hidden.extend(with_keys.iter().cloned());
        Ok(hidden)
    }

    /// The command, to be run in its place in front of the gateway that is meant.
    fn program(
        &self,
        place: &mut Sandbox,
        gateways: &[GatewayAddress],
        files: &Path,
    ) -> Result<Program, Failure> {
        let Some((gateway, address)) = self.gateway(gateways) else {
            let message = "no EgressGateway of the manifests serves the command: `keyward validate` says why";
            return Err(Failure::Failed(message.to_owned()));
        };
        let mut proxy = address.proxy.strip_prefix("http://").unwrap_or_default().parse::<SocketAddr>();
        let inside = place.listener();
        let alone = inside.is_some();
        if let Some(listener) = inside {
            let at_gateway = proxy.map_err(Failure::failed)?;
            proxy = Ok(listener.local_addr().map_err(Failure::failed)?);
            listener.set_nonblocking(true).map_err(Failure::failed)?;
            let listener = TcpListener::from_std(listener).map_err(Failure::failed)?;
            tokio::spawn(relay::serve(listener, at_gateway));
        }
        let environment =
            self.environment(gateway, address, proxy.map_err(Failure::failed)?, alone, files)?;
        Ok(Program { argv: self.args.command.clone(), environment })
    }

    fn gateway<'a>(&self, gateways: &'a [GatewayAddress]) -> Option<(&ObjectKey, &'a GatewayAddress)> {
        let (key, _) = self.objects.gateway.as_ref()?;
        let is_it =
            |address: &&GatewayAddress| address.namespace == key.namespace && address.name == key.name;
        Some((key, gateways.iter().find(is_it)?))
    }

    fn hosts(&self) -> Vec<HostPattern> {
        let outline = self.objects.gateway.as_ref().map(|(_, outline)| outline);
        outline.into_iter().flat_map(|outline| outline.hosts.iter().cloned()).collect()
    }

    fn environment(
        &self,
        gateway: &ObjectKey,
        address: &GatewayAddress,
        proxy: SocketAddr,
        alone: bool,
        files: &Path,
    ) -> Result<Environment, Failure> {
        let quiet = self.args.quiet;
        let hosts = self.hosts();
        // Alone with the gateway nothing else is reached: what the user reaches directly goes through it too.
        let lists = environment::no_proxy(&self.user).filter(|_| !alone);
        let no_proxy = NoProxy::new(lists, &hosts);
        if !no_proxy.dropped.is_empty() {
            let dropped = no_proxy.dropped.join(", ");
            say(quiet, &format!("left out of NO_PROXY, because a key is put in for such a host: {dropped}"));
        }
        let ours = std::fs::read_to_string(&address.ca)
            .map_err(|error| Failure::Failed(format!("{}: {error}", address.ca)))?;
        let system = trust::system_bundle(std::env::var_os("SSL_CERT_FILE")).map_err(Failure::failed)?;
        let certificates = certificates::write(files, &ours, &system, &self.user)
            .map_err(|error| Failure::Failed(format!("{}: {error}", files.display())))?;
        for note in &certificates.notes {
            say(quiet, note);
        }
        let with_manifests = self.args.manifests.is_some();
        let placeholders = environment::placeholders(&self.secrets, &self.user, &hosts, with_manifests);
        if with_manifests {
            self.say_withheld(gateway, &placeholders);
        }
        let given =
            Given { proxy, no_proxy: &no_proxy, certificates: &certificates, placeholders: &placeholders };
        Ok(environment::of_command(&self.user, &given))
    }

    /// Keys that the command is kept from and that the manifests have no use for.
    fn say_withheld(&self, gateway: &ObjectKey, placeholders: &BTreeSet<&'static str>) {
        let rows = providers::TABLE.iter().map(|row| row.variable());
        let withheld = rows.filter(|variable| {
            let named = self.args.secret.iter().any(|flag| flag.variable == *variable);
            let is_live = self.secrets.get(*variable).and_then(environment::live).is_some();
            is_live && !named && !placeholders.contains(variable)
        });
        for variable in withheld {
            let line = format!(
                "{variable} is kept from the command, and no route of EgressGateway {gateway} names its host"
            );
            say(self.args.quiet, &line);
        }
    }
}

async fn open(hidden: Vec<PathBuf>, own_network: bool) -> Result<Sandbox, Refused> {
    sandbox::open(sandbox::Settings { hidden, own_network }).await
}
