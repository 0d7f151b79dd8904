//! One VM: root contexts that are configured, streams that go through the callbacks in Envoy's order.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use wasmtime::{Engine, Instance, Linker, Module, Store, WasmParams, WasmResults};

use super::maps::Headers;
use super::state::{HostState, HttpCall, LocalReply, LogLine, Map, Phase, Reach, StreamState};
use super::{imports, wasi};
use crate::artefacts;

/// Why a callback did not return: the module trapped, or the host was misused.
pub type Trap = wasmtime::Error;

/// What a callback asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Go on with the next filter.
    Continue,
    /// Wait.
    Pause,
    /// This answer goes back to the agent.
    Reply(LocalReply),
}

/// A compiled module, from which any number of VMs can be started.
pub struct Code {
    engine: Engine,
    module: Module,
}

impl Code {
    /// The filter as it is built, compiled once for each process. Panics when it does not build or compile.
    pub fn built() -> &'static Code {
        static BUILT: LazyLock<Code> = LazyLock::new(|| {
            let bytes = std::fs::read(artefacts::module()).expect("the module");
            Code::new(&bytes).expect("a module that compiles")
        });
        &BUILT
    }

    /// Compiles the bytes of a `.wasm`.
    ///
    /// # Errors
    /// When they are none.
    pub fn new(bytes: &[u8]) -> Result<Code, Trap> {
        let engine = Engine::default();
        let module = Module::new(&engine, bytes)?;
        Ok(Code { engine, module })
    }

    /// Every import, as `module.name`, sorted.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        let mut all: Vec<_> = self.module.imports().map(|i| format!("{}.{}", i.module(), i.name())).collect();
        all.sort();
        all
    }

    /// Every export, sorted.
    #[must_use]
    pub fn exports(&self) -> Vec<String> {
        let mut all: Vec<_> = self.module.exports().map(|export| export.name().to_owned()).collect();
        all.sort();
        all
    }
}

/// A root context: one plugin configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root(u32);

/// A stream: one request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(u32);

/// A running module.
pub struct Vm {
    store: Store<HostState>,
    instance: Instance,
    last_context: u32,
}

impl Vm {
    /// Starts a VM with this environment, as `host_env_keys` would give it.
    ///
    /// # Errors
    /// When the module cannot be linked, or traps at its start.
    pub fn start(code: &Code, environment: &[(&str, &str)]) -> Result<Vm, Trap> {
        let mut linker = Linker::new(&code.engine);
        imports::define(&mut linker)?;
        wasi::define(&mut linker)?;
        linker.define_unknown_imports_as_traps(&code.module)?;
        let owned = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let state = HostState {
            environment: owned.collect(),
            now: 1_700_000_000_000_000_000,
            ..HostState::default()
        };
        let mut store = Store::new(&code.engine, state);
        let instance = linker.instantiate(&mut store, &code.module)?;
        let mut vm = Vm { store, instance, last_context: 0 };
        for name in ["_initialize", "_start"] {
            vm.call_if_exported::<(), ()>(name, ())?;
        }
        Ok(vm)
    }

    /// Makes a root context and gives it a configuration; None when the module refuses it.
    ///
    /// # Errors
    /// When the module traps.
    pub fn configure(&mut self, configuration: &[u8]) -> Result<Option<Root>, Trap> {
        let root = self.new_context();
        self.enter(root, Phase::Other);
        self.store.data_mut().plugin_configuration = configuration.to_vec();
        self.call_if_exported::<(u32, u32), ()>("proxy_on_context_create", (root, 0))?;
        let started = self.call_if_exported::<(u32, u32), u32>("proxy_on_vm_start", (root, 0))?;
        let size = u32::try_from(configuration.len())?;
        self.enter(root, Phase::Configure);
        let configured = self.call_if_exported::<(u32, u32), u32>("proxy_on_configure", (root, size))?;
        Ok((started != Some(0) && configured != Some(0)).then_some(Root(root)))
    }

    /// Makes a stream of a root context, with the properties that Envoy would know, by dotted path.
    ///
    /// # Errors
    /// When the module traps.
    pub fn stream(&mut self, root: Root, properties: &[(&str, &[u8])]) -> Result<Stream, Trap> {
        let id = self.new_context();
        let properties =
            properties.iter().map(|(path, value)| ((*path).to_owned(), value.to_vec())).collect();
        self.store.data_mut().streams.insert(id, StreamState { properties, ..StreamState::default() });
        self.enter(id, Phase::Other);
        self.call_if_exported::<(u32, u32), ()>("proxy_on_context_create", (id, root.0))?;
        Ok(Stream(id))
    }

    /// Sends request headers through the module.
    ///
    /// # Errors
    /// When the module traps.
    pub fn request_headers(&mut self, stream: Stream, headers: Headers, ends: bool) -> Result<Action, Trap> {
        self.headers_callback("proxy_on_request_headers", |state| &mut state.request, stream, headers, ends)
    }

    /// Sends a piece of the request's body through the module, which sees all of it that is held, as in Envoy.
    ///
    /// # Errors
    /// When the module traps.
    pub fn request_body(&mut self, stream: Stream, piece: &[u8], ends: bool) -> Result<Action, Trap> {
        let state = self.state(stream);
        state.body.extend_from_slice(piece);
        let arguments = (stream.0, u32::try_from(state.body.len())?, u32::from(ends));
        self.enter(stream.0, Phase::Body);
        let action = self.call_if_exported::<(u32, u32, u32), u32>("proxy_on_request_body", arguments)?;
        self.left(stream, |state| &mut state.request, action)
    }

    /// Sends the request's trailers through the module: of none, that is the end of a body.
    ///
    /// # Errors
    /// When the module traps.
    pub fn request_trailers(&mut self, stream: Stream) -> Result<Action, Trap> {
        self.enter(stream.0, Phase::Body);
        let action = self.call_if_exported::<(u32, u32), u32>("proxy_on_request_trailers", (stream.0, 0))?;
        self.left(stream, |state| &mut state.request, action)
    }

    /// Sends response headers through the module. Envoy sends a local reply through it, too.
    ///
    /// # Errors
    /// When the module traps.
    pub fn response_headers(&mut self, stream: Stream, headers: Headers, ends: bool) -> Result<Action, Trap> {
        self.headers_callback("proxy_on_response_headers", |state| &mut state.response, stream, headers, ends)
    }

    /// Ends a stream: log, done, delete, in the order of Envoy, which has dated the answer by then.
    ///
    /// # Errors
    /// When the module traps.
    pub fn finish(&mut self, stream: Stream) -> Result<(), Trap> {
        let response = &mut self.state(stream).response.headers;
        if !response.0.is_empty() && response.first(b"date").is_none() {
            response.add(b"date", b"Tue, 14 Nov 2023 22:13:20 GMT");
        }
        self.enter(stream.0, Phase::Log);
        self.call_if_exported::<u32, ()>("proxy_on_log", stream.0)?;
        self.enter(stream.0, Phase::Other);
        self.call_if_exported::<u32, u32>("proxy_on_done", stream.0)?;
        self.call_if_exported::<u32, ()>("proxy_on_delete", stream.0)?;
        Ok(())
    }

    /// Moves the clock on.
    pub fn pass(&mut self, time: Duration) {
        self.store.data_mut().now += u64::try_from(time.as_nanos()).expect("less than centuries");
    }

    /// The period of ticks that the module asked for since the last look; `None`: it did not ask.
    pub fn take_tick_period(&mut self) -> Option<Duration> {
        self.store.data_mut().tick_period.take().map(|period| Duration::from_millis(period.into()))
    }

    /// Ticks.
    ///
    /// # Errors
    /// When the module traps.
    pub fn tick(&mut self, root: Root) -> Result<(), Trap> {
        self.enter(root.0, Phase::Other);
        self.call_if_exported::<u32, ()>("proxy_on_tick", root.0)?;
        Ok(())
    }

    /// Calls to clusters that the module made since the last look.
    pub fn take_http_calls(&mut self) -> Vec<HttpCall> {
        std::mem::take(&mut self.store.data_mut().http_calls)
    }

    /// Answers a call to a cluster.
    ///
    /// # Errors
    /// When the module traps.
    pub fn answer(&mut self, root: Root, number: u32, headers: Headers, body: &[u8]) -> Result<(), Trap> {
        let lines = u32::try_from(headers.0.len())?;
        self.store.data_mut().call_answer = (headers, body.to_vec());
        self.enter(root.0, Phase::CallAnswer);
        let arguments = (root.0, number, lines, u32::try_from(body.len())?, 0);
        let name = "proxy_on_http_call_response";
        self.call_if_exported::<(u32, u32, u32, u32, u32), ()>(name, arguments)?;
        Ok(())
    }

    /// The request headers as the module left them.
    #[must_use]
    pub fn request(&self, stream: Stream) -> &Headers {
        &self.store.data().streams[&stream.0].request.headers
    }

    /// The response headers as the module left them.
    #[must_use]
    pub fn response(&self, stream: Stream) -> &Headers {
        &self.store.data().streams[&stream.0].response.headers
    }

    /// Filter state that the module set under `wasm.NAME`, as text.
    #[must_use]
    pub fn filter_state(&self, stream: Stream, name: &str) -> Option<String> {
        let value = self.store.data().streams[&stream.0].set.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// What the module logged so far.
    #[must_use]
    pub fn logs(&self) -> &[LogLine] {
        &self.store.data().logs
    }

    /// What was added to each metric.
    #[must_use]
    pub fn metrics(&self) -> &[(String, u64)] {
        &self.store.data().metrics
    }

    /// The size of the module's memory, bytes. It never shrinks.
    pub fn memory_bytes(&mut self) -> usize {
        let memory = self.instance.get_memory(&mut self.store, "memory").expect("a memory");
        memory.data_size(&self.store)
    }

    /// Host calls since the last look, by name; WASI calls are not counted.
    pub fn take_calls(&mut self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.store.data_mut().calls)
    }

    fn headers_callback(
        &mut self,
        name: &str,
        map: fn(&mut StreamState) -> &mut Map,
        stream: Stream,
        headers: Headers,
        ends: bool,
    ) -> Result<Action, Trap> {
        let arguments = (stream.0, u32::try_from(headers.0.len())?, u32::from(ends));
        *map(self.state(stream)) = Map { headers, reach: Reach::In };
        self.enter(stream.0, Phase::Other);
        let action = self.call_if_exported::<(u32, u32, u32), u32>(name, arguments)?;
        self.left(stream, map, action)
    }

    /// What a callback left: where it says Continue, the map and the body go.
    fn left(
        &mut self,
        stream: Stream,
        map: fn(&mut StreamState) -> &mut Map,
        action: Option<u32>,
    ) -> Result<Action, Trap> {
        let state = self.state(stream);
        if let Some(reply) = state.local_reply.take() {
            return Ok(Action::Reply(reply));
        }
        if action == Some(1) {
            return Ok(Action::Pause);
        }
        map(state).reach = Reach::Out;
        state.body.clear();
        Ok(Action::Continue)
    }

    fn state(&mut self, stream: Stream) -> &mut StreamState {
        self.store.data_mut().streams.get_mut(&stream.0).expect("a stream of this VM")
    }

    fn new_context(&mut self) -> u32 {
        self.last_context += 1;
        self.last_context
    }

    fn enter(&mut self, context: u32, phase: Phase) {
        let state = self.store.data_mut();
        (state.context, state.phase) = (context, phase);
    }

    fn call_if_exported<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> Result<Option<R>, Trap> {
        let Some(function) = self.instance.get_func(&mut self.store, name) else { return Ok(None) };
        function.typed::<P, R>(&self.store)?.call(&mut self.store, arguments).map(Some)
    }
}
