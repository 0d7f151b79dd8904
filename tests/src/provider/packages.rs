//! A package index for pip and npm: one package for each, made by Python and by tar, over files in a folder.
//!
//! pip asks for the page of PEP 503 and a wheel, npm for a document and a tarball.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Answer;
use super::log::Received;

const WHEEL: &str = "keyward_hello-1.0-py3-none-any.whl";
const TARBALL: &str = "keyward-hello-1.0.0.tgz";

/// A folder with the two packages, both of which are called `keyward-hello`.
pub struct Packages {
    folder: tempfile::TempDir,
}

impl Packages {
    /// Makes them for an index at this host.
    ///
    /// # Panics
    /// When Python or tar is missing, or a file cannot be written.
    #[must_use]
    pub fn new(host: &str) -> Packages {
        let packages = Packages { folder: tempfile::tempdir().expect("a temporary directory") };
        let metadata = "Metadata-Version: 2.1\nName: keyward-hello\nVersion: 1.0\n";
        packages.write("keyward_hello.py", "GREETING = 'Hello!'\n");
        packages.write("keyward_hello-1.0.dist-info/METADATA", metadata);
        let tags = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        packages.write("keyward_hello-1.0.dist-info/WHEEL", tags);
        let names =
            ["keyward_hello.py", "keyward_hello-1.0.dist-info/METADATA", "keyward_hello-1.0.dist-info/WHEEL"];
        let record: String = names.map(|name| format!("{name},,\n")).concat();
        packages.write("keyward_hello-1.0.dist-info/RECORD", &record);
        packages.run(
            "python3",
            &["-m", "zipfile", "-c", WHEEL, "keyward_hello.py", "keyward_hello-1.0.dist-info"],
        );

        let manifest = json!({"name": "keyward-hello", "version": "1.0.0", "license": "Apache-2.0"});
        packages.write("package/package.json", &manifest.to_string());
        packages.write("package/index.js", "module.exports = 'Hello!';\n");
        packages.run("tar", &["-czf", TARBALL, "package"]);
        let tarball = std::fs::read(packages.folder().join(TARBALL)).expect("the tarball");
        let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA512, &tarball));
        let mut version = manifest;
        version["dist"] = json!({
            "tarball": format!("https://{host}/keyward-hello/-/{TARBALL}"),
            "integrity": format!("sha512-{hash}"),
        });
        let document = json!({
            "name": "keyward-hello",
            "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": version},
        });
        packages.write("document.json", &document.to_string());
        packages
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).current_dir(self.folder()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The answer of the index.
pub(super) fn answer(request: &Received, folder: &Path) -> Response<Answer> {
    let file = |kind: &str, name: &str| {
        let bytes = std::fs::read(folder.join(name)).expect("a file of the index");
        Response::builder().header("content-type", kind).body(Answer::whole(bytes)).expect("a response")
    };
    match request.path.split('?').next().unwrap_or_default() {
        "/simple/keyward-hello/" => {
            let page =
                format!("<!DOCTYPE html><html><body><a href=\"/files/{WHEEL}\">{WHEEL}</a></body></html>");
            let page = Response::builder().header("content-type", "text/html").body(Answer::whole(page));
            page.expect("a response")
        }
        "/keyward-hello" => file("application/json", "document.json"),
        path if path.ends_with(WHEEL) => file("application/octet-stream", WHEEL),
        path if path.ends_with(TARBALL) => file("application/octet-stream", TARBALL),
        _ => {
            let nothing = Response::builder().status(StatusCode::NOT_FOUND).body(Answer::whole(""));
            nothing.expect("a response")
        }
    }
}
