//! The other process.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A process with a cache of its own over the same store; ended when dropped.
pub(crate) struct Other {
    process: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts one whose store is at this place.
    pub(crate) async fn start(place: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_peer"))
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut other = Self { process, stdin, stdout };
        assert_eq!(other.says().await, "ready");
        other
    }

    /// Has it do something, and returns what it answers.
    pub(crate) async fn told(&mut self, command: &str) -> String {
        self.begins(command).await;
        self.says().await
    }

    /// Has it begin something.
    pub(crate) async fn begins(&mut self, command: &str) {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    /// Has it write something, again and again until the store takes it.
    pub(crate) async fn writes(&mut self, command: &str) {
        let start = Instant::now();
        loop {
            let answer = self.told(command).await;
            if answer == "ok" {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{command}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills it at once.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    async fn says(&mut self) -> String {
        let line = tokio::time::timeout(Duration::from_secs(60), self.stdout.next_line()).await;
        line.expect("it says nothing").unwrap().expect("it has ended")
    }
}
