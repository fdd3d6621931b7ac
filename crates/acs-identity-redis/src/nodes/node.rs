//! One server, and the connections to it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, PushKind, RedisError, Value};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::Settings;
use crate::error::{Elsewhere, Failure, Trouble, connect_failure, trouble};

/// The first pause after a connection could not be made, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// One server of a deployment.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
    client: Client,
    pub(super) settings: Arc<Settings>,
    /// For all commands, or for those that only read if writes have to be acknowledged by replicas.
    plain: Arc<Shared>,
    /// For writes that have to be acknowledged: the connection stands still while it waits for the replicas.
    acknowledged: Arc<Shared>,
}

/// A connection that is made when it is needed, and made anew after it was lost.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Held by whoever connects, so that only one does.
    connecting: AsyncMutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Which connection it is, so that nobody takes a new one for the one that he has seen fail.
    number: u64,
    /// When it may be tried again after a failure, and what the failure was.
    pause: Option<(Instant, Duration, Failure)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("connected", &self.connection.is_some()).finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn new(host: String, port: u16, settings: Arc<Settings>) -> Result<Self, Failure> {
        let client = settings.client(&host, port)?;
        Ok(Self { host, port, client, settings, plain: Arc::default(), acknowledged: Arc::default() })
    }

    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        self.host == host && self.port == port
    }

    /// Sends one command that only reads, over the connection that all share.
    pub(crate) async fn read(&self, command: &Cmd) -> Result<Value, Trouble> {
        let (mut connection, number) = self.connection(&self.plain).await.map_err(not_sent)?;
        let answer = match connection.send_packed_command(command).await {
            Ok(Value::ServerError(error)) => Err(error.into()),
            answer => answer,
        };
        answer.map_err(|error| self.plain.judge(number, &error))
    }

    /// Sends commands as one pipeline, with an answer each; the whole fails if the connection does.
    pub(crate) async fn send(&self, commands: &Pipeline, end: Instant) -> Result<Vec<Value>, Trouble> {
        self.send_over(&self.plain, commands, end).await
    }

    /// The same for writes; with whether so many replicas have what was done as the settings say.
    pub(crate) async fn write(&self, commands: &mut Pipeline, end: Instant) -> Result<(Vec<Value>, bool), Trouble> {
        let Some((replicas, patience)) = self.settings.acknowledged else {
            return Ok((self.send_over(&self.plain, commands, end).await?, true));
        };
        commands.cmd("WAIT").arg(replicas).arg(patience.as_millis() as u64);
        let mut answers = self.send_over(&self.acknowledged, commands, end).await?;
        let acknowledged = matches!(answers.pop(), Some(Value::Int(count)) if count >= i64::from(replicas));
        Ok((answers, acknowledged))
    }

    async fn send_over(&self, shared: &Arc<Shared>, commands: &Pipeline, end: Instant) -> Result<Vec<Value>, Trouble> {
        // Where there is no connection in time, nothing was sent.
        let connected = timeout_at(end, self.connection(shared)).await.unwrap_or(Err(Failure::NoAnswer));
        let (mut connection, number) = connected.map_err(not_sent)?;
        match timeout_at(end, connection.send_packed_commands(commands, 0, commands.len())).await {
            Ok(Ok(answers)) => {
                // The host's name may lead to another server by now.
                if answers.iter().any(is_read_only) {
                    shared.give_up(number);
                }
                Ok(answers)
            }
            Ok(Err(error)) => Err(shared.judge(number, &error)),
            // The connection may be as good as before: others wait longer.
            Err(_) => Err(Trouble::Lost(Failure::NoAnswer)),
        }
    }

    /// The connection, which is made if it is not there.
    async fn connection(&self, shared: &Arc<Shared>) -> Result<(MultiplexedConnection, u64), Failure> {
        if let Some(connected) = shared.connected() {
            return Ok(connected);
        }
        let _only_one = shared.connecting.lock().await;
        if let Some(connected) = shared.connected() {
            return Ok(connected);
        }
        if let Some((until, _, failure)) = &shared.lock().pause
            && *until > Instant::now()
        {
            return Err(failure.clone());
        }
        let number = shared.lock().number;
        match self.connect(Arc::downgrade(shared), number).await {
            Ok(connection) => {
                let mut state = shared.lock();
                state.pause = None;
                // It may have ended already.
                if state.number != number {
                    return Err(Failure::Cut);
                }
                state.connection = Some(connection.clone());
                Ok((connection, number))
            }
            Err(failure) => {
                let mut state = shared.lock();
                let longest = state.pause.as_ref().map_or(FIRST_PAUSE, |(_, last, _)| LONGEST_PAUSE.min(2 * *last));
                let until = Instant::now() + longest.mul_f64(super::random_fraction());
                state.pause = Some((until, longest, failure.clone()));
                Err(failure)
            }
        }
    }

    /// A connection that all are to share, of this number.
    async fn connect(&self, shared: Weak<Shared>, number: u64) -> Result<MultiplexedConnection, Failure> {
        // Told when the server ends the connection, so that no command has to find out.
        let ended = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection
                && let Some(shared) = shared.upgrade()
            {
                shared.give_up(number);
            }
            Ok::<_, Failure>(())
        };
        self.connect_with(AsyncConnectionConfig::new().set_push_sender(ended)).await
    }

    /// A connection of one's own, beside those that all share.
    pub(crate) async fn connect_with(&self, config: AsyncConnectionConfig) -> Result<MultiplexedConnection, Failure> {
        let config = config
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        let late = if self.settings.is_tls() { Failure::Silent } else { Failure::NoConnection };
        let connecting = async {
            let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
            let failure = |error| if RedisError::is_timeout(&error) { late.clone() } else { connect_failure(&error) };
            let mut connection = connecting.await.map_err(failure)?;
            if self.settings.primary_only {
                is_primary(&mut connection).await?;
            }
            Ok(connection)
        };
        // The driver's own limit is for the socket; a server that takes connections and says nothing is not covered by
        // it.
        timeout(self.settings.connect_timeout, connecting).await.unwrap_or_else(|_| Err(late.clone()))
    }

    /// Ends the connections when the last call that uses them has ended.
    pub(crate) fn close(&self) {
        for shared in [&self.plain, &self.acknowledged] {
            shared.lock().connection = None;
        }
    }
}

/// How many commands wait in the driver before they are written, when many are sent at once.
const PIPELINE: usize = 512;

/// Whether the server says it is a primary. Sentinels may not know yet that it is none any more, nor may it when it
/// comes back.
async fn is_primary(connection: &mut MultiplexedConnection) -> Result<(), Failure> {
    match connection.send_packed_command(&redis::cmd("ROLE")).await {
        Ok(Value::Array(role)) => match &role[..] {
            [Value::BulkString(role), ..] if role == b"master" => Ok(()),
            _ => Err(Failure::Replica),
        },
        Ok(Value::ServerError(error)) => Err(connect_failure(&error.into())),
        Ok(_) => Err(Failure::Answer),
        Err(error) => Err(connect_failure(&error)),
    }
}

fn is_read_only(answer: &Value) -> bool {
    let Value::ServerError(error) = answer else { return false };
    matches!(error.kind(), Some(redis::ServerErrorKind::ReadOnly))
}

fn not_sent(failure: Failure) -> Trouble {
    match failure {
        Failure::Replica => Trouble::NotDone(failure, Elsewhere::Unknown),
        failure if failure.is_of_connection() => Trouble::NotDone(failure, Elsewhere::Unknown),
        failure => Trouble::Final(failure),
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connected(&self) -> Option<(MultiplexedConnection, u64)> {
        let state = self.lock();
        state.connection.clone().map(|connection| (connection, state.number))
    }

    /// What an error means; a connection that is lost, or that does not answer, is not used any more.
    fn judge(&self, number: u64, error: &redis::RedisError) -> Trouble {
        let trouble = trouble(error);
        if matches!(trouble, Trouble::Lost(_)) {
            self.give_up(number);
        }
        trouble
    }

    fn give_up(&self, number: u64) {
        let mut state = self.lock();
        if state.number == number {
            state.connection = None;
            state.number += 1;
        }
    }
}
