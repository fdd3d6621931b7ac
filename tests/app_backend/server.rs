//! The example as a process, and requests to it.

use std::ffi::OsStr;
use std::process::Stdio;

use acs_identity::emulator::Emulator;
use acs_identity_tests::{Folder, Run, command};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

pub(crate) const SECRET: &str = "a secret of Event Grid";
pub(crate) const ALICE: (&str, &str) = ("alice@contoso.com", "correct-horse");
pub(crate) const BOB: (&str, &str) = ("bob@contoso.com", "battery-staple");

/// The example, without anything from the environment of the tests.
pub(crate) fn example(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::from(command("app_backend", args));
    command.env_remove("ACS_CONNECTION_STRING").env_remove("WEBHOOK_SECRET").kill_on_drop(true);
    command
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    first_line: String,
    address: String,
    /// Where its mappings are, if nobody else needs them.
    _folder: Option<Folder>,
}

impl Server {
    /// One on a free port that uses this emulator, and keeps its mappings as long as it runs.
    pub(crate) async fn start(emulator: &Emulator) -> Self {
        let folder = Folder::new();
        let server = Self::start_on(emulator, &folder).await;
        Self { _folder: Some(folder), ..server }
    }

    /// One that shares its mappings with others.
    pub(crate) async fn start_on(emulator: &Emulator, folder: &Folder) -> Self {
        let database = folder.path("mappings.db");
        let mut example = example(&["--port".as_ref(), "0".as_ref(), "--database".as_ref(), database.as_os_str()]);
        example.env("ACS_CONNECTION_STRING", emulator.connection_string()).env("WEBHOOK_SECRET", SECRET);
        Self::of(example).await
    }

    pub(crate) async fn of(mut example: Command) -> Self {
        let mut child = example.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the example starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first_line = String::new();
        stdout.read_line(&mut first_line).await.expect("a line");
        let address = first_line.trim_end().strip_prefix("Listening on http://").expect("an address").to_owned();
        Self { child, stdout, first_line, address, _folder: None }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Lines that the server prints when it has started, up to this one and with it.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).await.expect("a line"), 0, "no line with {text}");
            if line.contains(text) {
                return line.trim().to_owned();
            }
        }
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let process = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &process]).status().await.expect("kill").success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Run {
        let mut stdout = self.first_line;
        self.stdout.read_to_string(&mut stdout).await.expect("UTF-8");
        let output = self.child.wait_with_output().await.expect("it ends");
        Run { stdout, ..Run::from(output) }
    }

    /// Tells it to stop, and checks that it does so without a complaint.
    pub(crate) async fn stop(self) -> Run {
        self.signal("-TERM").await;
        let run = self.ended().await;
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        run
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        send(&self.address, method, path, headers, body).await
    }

    pub(crate) async fn post(&self, path: &str, session: &str, body: &Value) -> Reply {
        let bearer = format!("Bearer {session}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send("POST", path, &headers, body.to_string().as_bytes()).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, session: &str) -> Reply {
        self.send(method, path, &[("authorization", &format!("Bearer {session}"))], b"").await
    }

    pub(crate) async fn login(&self, (customer, password): (&str, &str)) -> Reply {
        self.post("/login", "", &json!({ "customerId": customer, "password": password })).await
    }

    /// Signs in, and returns the session.
    pub(crate) async fn session(&self, user: (&str, &str)) -> String {
        let reply = self.login(user).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.text("session")
    }

    /// The ACS ID of whoever has this session.
    pub(crate) async fn acs_id(&self, session: &str) -> String {
        let reply = self.request("POST", "/token", session).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.text("acsId")
    }

    /// Delivers to the webhook, as Event Grid does.
    pub(crate) async fn deliver(&self, events: &Value) -> Reply {
        self.send("POST", "/events", &[("x-webhook-secret", SECRET)], events.to_string().as_bytes()).await
    }
}

pub(crate) async fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let headers = [&[("connection", "close")], headers].concat();
    connection.write_all(&message(method, path, &headers, body)).await.expect("the request is sent");
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply).await.expect("the reply comes");
    Reply::read(&String::from_utf8(reply).expect("UTF-8"))
}

/// A request as it goes over the connection.
pub(crate) fn message(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut message = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        message += &format!("{name}: {value}\r\n");
    }
    message += &format!("content-length: {}\r\n\r\n", body.len());
    [message.as_bytes(), body].concat()
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// `null` without a body.
    pub(crate) body: Value,
}

impl Reply {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") };
        Self { status, head: head.to_ascii_lowercase(), body }
    }

    /// A property of the body that is a text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}")).to_owned()
    }

    /// Status and code of a refusal, whose body is checked.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        let error = self.body["error"].as_object().unwrap_or_else(|| panic!("no refusal: {self:?}"));
        assert!(error.len() == 2 && error["message"].is_string(), "{self:?}");
        (self.status, error["code"].as_str().expect("a code"))
    }
}
