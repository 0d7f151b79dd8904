//! A Git host: `git http-backend`, the CGI program that comes with git, over projects in a folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hyper::{Response, StatusCode};
use tokio::io::AsyncWriteExt as _;

use super::body::Answer;
use super::log::Received;

/// A folder with one bare project, which has one commit.
pub struct Projects {
    folder: tempfile::TempDir,
    name: String,
}

impl Projects {
    /// Makes one.
    ///
    /// # Panics
    /// When git is missing or cannot make it.
    #[must_use]
    pub fn new(name: &str) -> Projects {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let projects = Projects { folder, name: name.to_owned() };
        git(projects.folder(), &["init", "--quiet", "--bare", "--initial-branch=main", name]);
        let tree = projects.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
        let commit = projects.git(&["commit-tree", tree.trim(), "-m", "the first commit"]);
        projects.git(&["update-ref", "refs/heads/main", commit.trim()]);
        projects
    }

    /// Where the projects are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The subjects of the project's commits, newest first.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        self.git(&["log", "--format=%s", "main"]).lines().map(str::to_owned).collect()
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.folder().join(&self.name), arguments)
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=maintainer", "-c", "user.email=maintainer@example.com"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output();
    let output = output.expect("git can be started");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The answer of `git http-backend` to a request with the right credential; 401 with a challenge to another.
pub(super) async fn answer(request: &Received, projects: PathBuf, key: Option<&str>) -> Response<Answer> {
    let right = key.is_none_or(|key| request.values("authorization") == [format!("Basic {key}")]);
    if !right {
        return challenge();
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let header = |name| request.values(name).first().copied().unwrap_or_default().to_owned();
    let mut command = tokio::process::Command::new("git");
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command.env("GIT_PROJECT_ROOT", projects).env("GIT_HTTP_EXPORT_ALL", "1").env("REMOTE_USER", "agent");
    command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", path).env("QUERY_STRING", query);
    command.env("CONTENT_TYPE", header("content-type")).env("CONTENT_LENGTH", request.body.len().to_string());
    command.env("HTTP_CONTENT_ENCODING", header("content-encoding"));
    command.env("GIT_PROTOCOL", header("git-protocol"));
    let mut child = command.spawn().expect("git can be started");
    let mut input = child.stdin.take().expect("a pipe");
    let body = request.body.clone();
    // It may end before it has read all.
    tokio::spawn(async move { input.write_all(&body).await });
    cgi(&child.wait_with_output().await.expect("the output of git").stdout)
}

/// What a host says that wants a credential.
pub(super) fn challenge() -> Response<Answer> {
    let refused = Response::builder().status(StatusCode::UNAUTHORIZED);
    let refused = refused.header("www-authenticate", "Basic realm=\"git\"");
    refused.body(Answer::whole("")).expect("a response")
}

/// A response from what a CGI program printed (RFC 3875, section 6).
fn cgi(output: &[u8]) -> Response<Answer> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("a CGI head");
    let head = String::from_utf8_lossy(&output[..end]);
    let mut response = Response::builder();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or_default()),
            name => response.header(name, value),
        };
    }
    response.body(Answer::whole(output[end + 4..].to_vec())).expect("a response")
}
