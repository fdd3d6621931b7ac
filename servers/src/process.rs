//! Processes that end with this one.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::account::Account;

/// The shell that ends a server and removes its folder, when told or when this process is gone.
#[derive(Debug)]
pub(crate) struct Watchdog {
    folder: PathBuf,
    shell: Child,
    /// Closed to make it end everything.
    orders: Option<ChildStdin>,
}

impl Watchdog {
    pub(crate) fn start(folder: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh"), "watchdog"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C in the terminal is not for it.
            .process_group(0)
            .spawn()?;
        let orders = shell.stdin.take();
        Ok(Self { folder: folder.to_owned(), shell, orders })
    }

    /// Starts a program in the folder. Its standard output is not kept, its errors go to `log`.
    pub(crate) fn spawn(
        &mut self,
        account: Option<Account>,
        program: &Path,
        args: &[String],
        log: File,
    ) -> io::Result<Process> {
        // The shell becomes the program when told to, which is after the watchdog knows of it.
        let mut command = Command::new("sh");
        command
            .args(["-c", "read -r go && exec \"$@\" </dev/null", "start"])
            .arg(program)
            .args(args)
            .current_dir(&self.folder)
            // Messages in English.
            .env("LC_ALL", "C")
            .env("TMPDIR", &self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        if let Some(account) = account {
            command.uid(account.user).gid(account.group);
        }
        let mut child = command.spawn()?;
        let (mut start, mut output) = (child.stdin.take(), child.stdout.take());
        let output = thread::spawn(move || {
            // Ends when no process has it any more: the program and all of its children.
            if let Some(output) = &mut output {
                let _ = io::copy(output, &mut io::sink());
            }
        });
        let process = Process { child, output };
        self.order(&format!("watch {}", process.child.id()))?;
        if let Some(start) = &mut start {
            start.write_all(b"\n")?;
        }
        Ok(process)
    }

    /// Ends the process that was started last, and all of its children, in the hardest way.
    pub(crate) fn kill(&mut self, mut process: Process) -> io::Result<()> {
        // Once it is known to have ended, its id may be another process's.
        self.order(if process.ended().is_none() { "kill" } else { "watch" })?;
        let gone = wait_until(DEADLINE, || process.output.is_finished().then(|| process.ended()).flatten());
        gone.map(|_| ()).ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "its processes are still there"))
    }

    fn order(&mut self, order: &str) -> io::Result<()> {
        self.orders.as_mut().map_or(Ok(()), |orders| writeln!(orders, "{order}"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        wait_until(DEADLINE, || self.shell.try_wait().transpose());
    }
}

/// A running program, and the processes that it started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Runs until no process is left that has the standard output.
    output: JoinHandle<()>,
}

impl Process {
    /// How the program itself ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal, such as `-STOP`, to the program itself.
    pub(crate) fn signal(&self, signal: &str) -> io::Result<()> {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
    }
}

/// The longest time that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again, until there is an answer or the time is over.
pub(crate) fn wait_until<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || started.elapsed() >= deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
