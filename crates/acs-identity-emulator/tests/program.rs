//! The program `acs-identity-emulator`.
#![cfg(unix)]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_acs-identity-emulator");

struct Running {
    child: Child,
    address: String,
    key: String,
    _output: Lines<BufReader<ChildStdout>>,
}

async fn started(args: &[&str]) -> Running {
    let mut command = Command::new(PROGRAM);
    let mut child = command.args(args).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the program starts");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let line = tokio::time::timeout(Duration::from_secs(30), output.next_line()).await.expect("a line in time");
    let line = line.expect("readable").expect("a line");
    let (endpoint, key) = line
        .strip_prefix("endpoint=http://")
        .expect("of the known form")
        .split_once(";accesskey=")
        .expect("of the known form");
    let address = endpoint.strip_suffix('/').expect("of the known form").to_owned();
    Running { child, address, key: key.to_owned(), _output: output }
}

/// Sends a request to create a user with a bearer token, and returns the answer.
async fn create(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("of the known form");
    let request = format!(
        "POST /identities?api-version=2023-10-01 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer any\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("of the known form");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("of the known form");
    answer
}

async fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(args).output().await.expect("of the known form");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).expect("of the known form"))
}

#[tokio::test]
async fn it_says_where_it_is_and_ends_by_a_signal() {
    for signal in ["TERM", "INT"] {
        let mut running = started(&["--bearer", "--key", "c2VjcmV0"]).await;
        assert!(running.address.starts_with("127.0.0.1:"));
        assert_eq!(running.key, "c2VjcmV0");
        assert!(create(&running.address).await.starts_with("HTTP/1.1 201"));
        // An idle connection does not hold it up.
        let _idle = TcpStream::connect(&running.address).await.unwrap();
        let pid = running.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().await.unwrap().success());
        let status = tokio::time::timeout(Duration::from_secs(30), running.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
        assert!(TcpStream::connect(&running.address).await.is_err());
    }
}

#[tokio::test]
async fn it_takes_a_seed_a_port_and_faults() {
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("seed.json");
    std::fs::write(&seed, r#"{"users": [{"id": "8:acs:r_1", "customId": "bob"}, {}]}"#).unwrap();
    let faults = ["--error-rate", "1", "--error-status=429", "--retry-after", "7", "--fault-operation", "create-user"];
    let mut args = vec!["--resource-id", "r", "--bearer", "--seed", seed.to_str().unwrap()];
    args.extend(faults);
    let running = started(&args).await;
    let answer = create(&running.address).await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: 7\r\n"), "{answer}");

    let port = running.address.strip_prefix("127.0.0.1:").unwrap();
    let (code, said) = refusal(&["--port", port]).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with(&format!("error: backend unavailable: port {port} of 127.0.0.1 cannot be had")), "{said}");

    let (code, said) = refusal(&["--seed", seed.to_str().unwrap()]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("user 1 of the seed is not of the form") && !said.contains("r_1"), "{said}");
    std::fs::write(&seed, "{\n\"users\": [\"bob@contoso.com\"]}").unwrap();
    let (code, said) = refusal(&["--seed", seed.to_str().unwrap()]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("line 2") && !said.contains("bob"), "{said}");
    assert!(refusal(&["--seed", "/does/not/exist"]).await.1.contains("the file of the seed cannot be read"));
}

#[tokio::test]
async fn what_it_does_not_know_is_refused() {
    for (args, told) in [
        (&["--prot", "80"][..], r#"there is no option "--prot""#),
        (&["--port"], "--port needs a value"),
        (&["--bearer=no"], "--bearer takes no value"),
    ] {
        let (code, said) = refusal(args).await;
        assert_eq!(code, Some(2));
        assert!(said.starts_with("error: ") && said.contains(told) && said.contains("--help"), "{said}");
    }
    let (code, said) = refusal(&["--key", "no base64!"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("the access key is empty or not base64") && !said.contains("no base"), "{said}");
}

#[tokio::test]
async fn it_tells_its_options_and_its_version() {
    let output = Command::new(PROGRAM).arg("--help").output().await.unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && help.contains("--seed FILE") && help.contains("--cut-after-rate"));
    let output = Command::new(PROGRAM).arg("--version").output().await.unwrap();
    let expected = format!("acs-identity-emulator {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
