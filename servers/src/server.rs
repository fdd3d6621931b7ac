//! A private server.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::find::{self, Programs};
use crate::kind::{Kind, Place, Recipe};
use crate::process::{DEADLINE, Process, Watchdog, wait_until};
use crate::random;

/// A server of this process alone, ended and removed with all of its data when dropped.
///
/// It keeps what it acknowledged as it would in production: its settings for durability are the defaults. But Redis takes no
/// snapshots: it comes back empty unless `appendonly` is `yes`.
pub struct Server {
    recipe: &'static Recipe,
    programs: Programs,
    place: Place,
    account: Option<Account>,
    password: String,
    settings: Vec<(String, String)>,
    process: Option<Process>,
    paused: bool,
    watchdog: Watchdog,
}

impl Server {
    /// Starts a new server, and returns when it takes connections.
    ///
    /// # Errors
    /// If none is installed, or if it does not come up within a minute: a sentence for people, with the end of
    /// its log.
    pub fn start(kind: Kind) -> Result<Self, String> {
        Self::start_with(kind, &[])
    }

    /// Starts a new server with settings besides or in place of the usual ones: `-c name=value` for PostgreSQL,
    /// `--name=value` for MariaDB, `--name value` for Redis. They must leave the log where it is.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(kind: Kind, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_as(kind.recipe(), settings)
    }

    /// Starts a new server by a recipe.
    pub(crate) fn start_as(recipe: &'static Recipe, settings: &[(&str, &str)]) -> Result<Self, String> {
        let name = recipe.name;
        let programs = find::programs(recipe, &find::folders(recipe))?;
        let mut server = Self::create(recipe, programs).map_err(|error| format!("cannot start {name}: {error}"))?;
        for (setting, value) in settings {
            server.set(setting, value);
        }
        // Some servers write into it themselves, so it must be their account's.
        server.write("log", "")?;
        if let Some((file, content)) = recipe.file {
            server.write(file, content(&server.password))?;
        }
        server.init()?;
        // Another process may take the port between the choice and the start.
        for _ in 0..5 {
            server.place.port = free_port().map_err(|error| format!("cannot start {name}: no free port: {error}"))?;
            match server.launch() {
                Err(Failure::PortTaken) => {}
                Err(Failure::Other(error)) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
        Err(format!("cannot start {name}: each port was taken by another process"))
    }

    /// Its URL, with a user who may do anything.
    pub fn url(&self) -> String {
        (self.recipe.url)(&self.password, self.place.port)
    }

    /// Its port on 127.0.0.1, the same after a restart.
    pub fn port(&self) -> u16 {
        self.place.port
    }

    /// Its folder, with `data` and `log` in it.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    /// Writes a file into the folder that only the server may read, such as a private key.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, String> {
        let path = self.place.folder.join(name);
        let written = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = written.and_then(|mut file| file.write_all(content.as_ref()));
        let owned = written.and_then(|()| self.account.map_or(Ok(()), |account| account.own(&path)));
        owned.map(|()| path).map_err(|error| format!("cannot write a file for {}: {error}", self.recipe.name))
    }

    /// Stops its main process (SIGSTOP), which for Redis is all of it: it keeps its connections, takes new ones, and does
    /// nothing, until it is [resumed](Self::resume), killed or restarted.
    ///
    /// # Panics
    /// If it was killed, or the system does not do it.
    pub fn pause(&mut self) {
        self.signal("-STOP");
        self.paused = true;
    }

    /// Lets it go on after [`pause`](Self::pause): with what has come in the meantime.
    ///
    /// # Panics
    /// If it was killed, or the system does not do it.
    pub fn resume(&mut self) {
        self.signal("-CONT");
        self.paused = false;
    }

    /// Whether it was started, and is neither killed nor paused.
    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    fn signal(&self, signal: &str) {
        let sent = self.process.as_ref().map(|process| process.signal(signal));
        assert!(matches!(sent, Some(Ok(()))), "{} is not sent {signal}: {sent:?}", self.recipe.name);
    }

    /// A setting for the next [`restart`](Self::restart), as in [`start_with`](Self::start_with).
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Kills all of its processes at once (SIGKILL), and returns when they are gone. The data stays.
    ///
    /// # Panics
    /// If they are still there after a minute.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            self.watchdog.kill(process).unwrap_or_else(|error| panic!("{} was killed: {error}", self.recipe.name));
        }
        self.paused = false;
    }

    /// Starts it again with the same port and data, killing it before if it runs, and returns when it takes
    /// connections.
    ///
    /// # Errors
    /// If it does not come up within a minute, with the end of its log.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        for name in self.recipe.stale {
            // It is not there after an orderly end.
            let _ = fs::remove_file(self.place.folder.join("data").join(name));
        }
        let started = Instant::now();
        loop {
            match self.launch() {
                // By a connection that will end: the port is ours again then.
                Err(Failure::PortTaken) if started.elapsed() < DEADLINE => thread::sleep(Duration::from_millis(100)),
                Err(Failure::PortTaken) => {
                    return Err(format!("port {} of {} stays taken", self.place.port, self.recipe.name));
                }
                Err(Failure::Other(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// As [`restart`](Self::restart), but all of its data is lost.
    ///
    /// # Errors
    /// As [`restart`](Self::restart).
    pub fn restart_empty(&mut self) -> Result<(), String> {
        self.kill();
        fs::remove_dir_all(self.place.folder.join("data"))
            .map_err(|error| format!("cannot remove the data of {}: {error}", self.recipe.name))?;
        self.init()?;
        self.restart()
    }

    /// A new folder with a watchdog, and nothing in it but perhaps the server under its right name.
    fn create(recipe: &'static Recipe, mut programs: Programs) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("acs-identity-").tempdir_in(temporary_folder())?;
        let watchdog = Watchdog::start(folder.path())?;
        // From here on the watchdog removes it.
        let place = Place { folder: folder.keep(), port: 0 };
        let account = Account::choose(&place.folder).map_err(io::Error::other)?;
        if let Some(account) = account {
            account.own(&place.folder)?;
        }
        if programs.server.file_name() != Some(recipe.server.as_ref()) {
            let named = place.folder.join(recipe.server);
            symlink(&programs.server, &named)?;
            programs.server = named;
        }
        let (password, settings) = (random::hex(), Vec::new());
        Ok(Self { recipe, programs, place, account, password, settings, process: None, paused: false, watchdog })
    }

    /// Makes the data folder.
    fn init(&mut self) -> Result<(), String> {
        let (Some(init), Some(program)) = (&self.recipe.init, self.programs.init.clone()) else {
            let data = self.place.folder.join("data");
            let made = fs::create_dir(&data);
            let owned = made.and_then(|()| self.account.map_or(Ok(()), |account| account.own(&data)));
            return owned.map_err(|error| format!("cannot make a folder for {}: {error}", self.recipe.name));
        };
        let mut process = self.spawn(&program, &(init.args)(&self.place))?;
        let status = wait_until(DEADLINE, || process.ended());
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        self.process = Some(process);
        self.kill();
        let outcome = status.map_or("takes longer than a minute".into(), |status| format!("failed: {status}"));
        Err(self.failure(&format!("{} {outcome}", init.program), &self.log(0)))
    }

    /// Starts the server on the chosen port.
    fn launch(&mut self) -> Result<(), Failure> {
        let mut args = (self.recipe.server_args)(&self.place);
        args.extend(self.settings.iter().flat_map(|(name, value)| (self.recipe.setting)(name, value)));
        let log_start = self.log_length();
        let mut process = self.spawn(&self.programs.server.clone(), &args).map_err(Failure::Other)?;
        let outcome = wait_until(DEADLINE, || match process.ended() {
            Some(status) => Some(Err(format!("it ended: {status}"))),
            None => self.log(log_start).contains(self.recipe.ready).then_some(Ok(())),
        });
        self.process = Some(process);
        let problem = match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(ended)) => ended,
            None => "it is not ready within a minute".into(),
        };
        self.kill();
        let log = self.log(log_start);
        if log.contains("Address already in use") {
            return Err(Failure::PortTaken);
        }
        Err(Failure::Other(self.failure(&problem, &log)))
    }

    fn spawn(&mut self, program: &Path, args: &[String]) -> Result<Process, String> {
        let log = File::options().create(true).append(true).open(self.place.folder.join("log"));
        let process = log.and_then(|log| self.watchdog.spawn(self.account, program, args, log));
        process.map_err(|error| format!("cannot start {}: {error}", self.recipe.name))
    }

    /// The log from a place on.
    fn log(&self, start: u64) -> String {
        let mut log = Vec::new();
        let read = File::open(self.place.folder.join("log")).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut log)
        });
        read.map_or_else(|error| format!("unreadable: {error}"), |_| String::from_utf8_lossy(&log).into_owned())
    }

    fn log_length(&self) -> u64 {
        fs::metadata(self.place.folder.join("log")).map_or(0, |log| log.len())
    }

    fn failure(&self, problem: &str, log: &str) -> String {
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n  ");
        format!("cannot start {}: {problem}; the end of its log:\n  {end}", self.recipe.name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // The watchdog, dropped next, ends what is left.
            let _ = self.watchdog.kill(process);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("kind", &self.recipe.name).field("place", &self.place).finish_non_exhaustive()
    }
}

/// Why a server did not start.
enum Failure {
    PortTaken,
    Other(String),
}

/// Where temporary folders are made. The path of MariaDB's socket, below it, may have about 100 bytes.
fn temporary_folder() -> PathBuf {
    let folder = std::env::temp_dir();
    if folder.as_os_str().len() > 60 { "/tmp".into() } else { folder }
}

/// A free port that the system gives to nobody else: below those that it chooses for connections. A client
/// that calls a killed server again and again could otherwise be given the server's port, and even connect to
/// itself.
fn free_port() -> io::Result<u16> {
    let mut tried = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..100 {
        let port = 15_000 + u16::try_from(random::number() % 17_000).unwrap_or_default();
        tried = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(|_| port);
        if tried.is_ok() {
            break;
        }
    }
    tried
}
