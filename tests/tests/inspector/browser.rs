//! A headless Chromium, spoken to by the Chrome DevTools Protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use harness::process::Process;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// How long anything in the page may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Notes every violation of the page's policy, and every error, before any script of the page runs.
const WATCH: &str = "window.violations = [];
    addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));
    addEventListener('error', (event) => violations.push('error ' + event.message));
    addEventListener('unhandledrejection', (event) => violations.push('rejection ' + event.reason));";

type Answers = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Value>>>>;

/// A window with one page.
pub(crate) struct Browser {
    socket: SplitSink<WebSocketStream<TcpStream>, Message>,
    answers: Answers,
    events: Arc<Mutex<Vec<Value>>>,
    session: Option<String>,
    last: u64,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Opens a page. Panics when there is no Chromium, or it does not start.
    pub(crate) async fn open(url: &str) -> Browser {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("chromium");
        command.args(["--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu"]);
        command.args([
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
        ]);
        command.args([
            "--disable-sync",
            "--no-proxy-server",
            "--disable-dev-shm-usage",
            "--window-size=1400,860",
        ]);
        command.args(["--lang=en-GB", "--force-device-scale-factor=1"]);
        // Its sandbox does not work for root.
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", folder.path().display())).arg("about:blank");
        command.env("HOME", folder.path()).env("TZ", "UTC");
        let process = Process::spawn(command);
        let started = Instant::now();
        let address = loop {
            let lines = process.errors();
            if let Some(found) =
                lines.iter().find_map(|line| line.strip_prefix("DevTools listening on ws://"))
            {
                break found.to_owned();
            }
            assert!(started.elapsed() < PATIENCE, "Chromium (hack/setup chromium): {}", lines.join("\n"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let (socket, mut incoming) = connect(&address).await.split();
        let (answers, events) = (Answers::default(), Arc::<Mutex<Vec<Value>>>::default());
        let (waiting, seen) = (Arc::clone(&answers), Arc::clone(&events));
        tokio::spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                let Ok(text) = message.to_text() else { continue };
                let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
                match value["id"].as_u64().and_then(|id| waiting.lock().expect("no panic").remove(&id)) {
                    Some(answer) => drop(answer.send(value)),
                    None => seen.lock().expect("no panic").push(value),
                }
            }
        });
        let mut browser =
            Browser { socket, answers, events, session: None, last: 0, _process: process, _folder: folder };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": WATCH})).await;
        browser.call("Page.navigate", json!({"url": url})).await;
        browser.until("document.querySelector('#connection')?.dataset.state === 'open'").await;
        browser
    }

    /// The result of a command. Panics when it is refused.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let (sender, answer) = oneshot::channel();
        self.answers.lock().expect("no panic").insert(self.last, sender);
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).await.expect("sent");
        let mut answer = tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The value of an expression in the page. Panics where it throws.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut result = self.call("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    pub(crate) async fn text(&mut self, expression: &str) -> String {
        self.value(expression).await.as_str().unwrap_or_else(|| panic!("{expression} is no text")).to_owned()
    }

    /// Waits until an expression is true. Panics when it does not become so.
    #[track_caller]
    pub(crate) fn until<'a>(&'a mut self, expression: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let started = Instant::now();
            while self.value(&format!("Boolean({expression})")).await != true {
                let waits = started.elapsed() < PATIENCE;
                let page = if waits { String::new() } else { self.text("document.body.innerText").await };
                assert!(waits, "{caller}: {expression} did not become true:\n{page}");
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// Presses a key as a keyboard does.
    pub(crate) async fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "End" => 35,
            "Home" => 36,
            "PageUp" => 33,
            "PageDown" => 34,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            "Backspace" => 8,
            letter if letter.as_bytes()[0].is_ascii_alphanumeric() => {
                u32::from(letter.to_ascii_uppercase().as_bytes()[0])
            }
            // The codes of other keys are no characters.
            _ => 0,
        };
        let mut down = json!({"type": "rawKeyDown", "key": key, "windowsVirtualKeyCode": code});
        let text = if key == "Enter" { Some("\r") } else { Some(key).filter(|key| key.len() == 1) };
        if let Some(text) = text {
            down["type"] = "keyDown".into();
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// Types a text.
    pub(crate) async fn type_text(&mut self, text: &str) {
        for character in text.chars() {
            self.press(&character.to_string()).await;
        }
    }

    /// Prefers a colour scheme from here on.
    pub(crate) async fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// What is in sight, as base64 of a PNG.
    pub(crate) async fn screenshot(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        shot["data"].as_str().expect("an image").to_owned()
    }

    /// The URLs of everything that the page asked for.
    pub(crate) fn requested(&self) -> Vec<String> {
        let events = self.events.lock().expect("no panic");
        let requests = events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// Panics where the page's policy was violated, or a script failed.
    pub(crate) async fn assert_no_violation(&mut self) {
        assert_eq!(self.value("violations").await, json!([]));
        let events = self.events.lock().expect("no panic").clone();
        let said = |event: &&Value| {
            event["method"] == "Runtime.exceptionThrown"
                || (event["method"] == "Log.entryAdded" && event["params"]["entry"]["level"] == "error")
        };
        let said: Vec<_> = events.iter().filter(said).collect();
        assert!(said.is_empty(), "{said:?}");
    }
}

/// The opening handshake of RFC 6455, to a server that needs no more than that.
async fn connect(address: &str) -> WebSocketStream<TcpStream> {
    let (host, path) = address.split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).await.expect("Chromium listens");
    let head = format!(
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("an answer"));
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    let limits = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await
}
