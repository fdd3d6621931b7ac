//! The change feed: each server tells of the keys of the namespace that were changed, whoever changed them.
//!
//! This is the server's help for caches, in its broadcast mode:
//! <https://redis.io/docs/latest/develop/reference/client-side-caching/>.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use acs_identity_core::{AcsId, Change, ChangeFeed, CustomerId, LostReason};
use futures::StreamExt;
use futures::future::{join_all, try_join_all};
use futures::stream::{self, BoxStream};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value, cmd};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::answer;
use crate::error::{Failure, connect_failure};
use crate::keys::Key;
use crate::nodes::{Node, Topology, is_leaving, random_fraction};
use crate::store::RedisStore;

/// How often each server is asked whether it is still there, and the deployment whether it has changed.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long a server may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest pause before it is tried again to subscribe.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many keys are kept for a subscriber that is slow.
const KEPT: usize = 10_000;

impl ChangeFeed for RedisStore {
    fn changes(&self) -> BoxStream<'static, Change> {
        let subscription = Subscription { store: self.clone(), listening: None, ready: VecDeque::new() };
        let changes = stream::unfold(subscription, |mut subscription| async move {
            subscription.next().await.map(|change| (change, subscription))
        });
        // An application may poll once too often.
        Box::pin(changes.fuse())
    }
}

/// One subscriber, with connections of its own.
struct Subscription {
    store: RedisStore,
    /// `None` while nothing is followed.
    listening: Option<Listening>,
    ready: VecDeque<Change>,
}

/// Connections to all servers, each of which tells of what was changed there.
struct Listening {
    /// Whether all servers do. Where one can't or may not, everything may have changed with every heartbeat.
    told: bool,
    connections: Vec<MultiplexedConnection>,
    news: mpsc::UnboundedReceiver<News>,
    backlog: Arc<Backlog>,
    /// Tells when other servers have the keys.
    topology: watch::Receiver<Arc<Topology>>,
    next_heartbeat: Instant,
    /// Whether keys are on their way to a server that may not tell yet, since it has no slots.
    moving: bool,
}

/// How far a subscriber is behind.
#[derive(Debug, Default)]
struct Backlog {
    /// How many keys are in the news.
    waiting: AtomicUsize,
    /// Whether some were dropped, which holds for good: the number alone may be small again when it is looked at.
    overflowed: AtomicBool,
}

impl Backlog {
    /// Whether there is room for so many keys more.
    fn takes(&self, keys: usize) -> bool {
        let takes = self.waiting.fetch_add(keys, Ordering::AcqRel) <= KEPT;
        if !takes {
            self.overflowed.store(true, Ordering::Release);
        }
        takes
    }

    fn read(&self, keys: usize) {
        self.waiting.fetch_sub(keys, Ordering::AcqRel);
    }

    fn overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }
}

enum News {
    /// Keys that were changed.
    Keys(Vec<String>),
    /// All keys of a server are gone.
    Flushed,
    /// A connection is lost.
    Cut,
}

/// What a subscriber waits for.
enum Event {
    News(News),
    /// Other servers have the keys, or the store is closed.
    Moved,
    Heartbeat,
}

impl Subscription {
    async fn next(&mut self) -> Option<Change> {
        let mut pause = Duration::from_millis(50);
        loop {
            if self.store.nodes().is_closed() {
                return None;
            }
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            let Some(listening) = &mut self.listening else {
                match Listening::begin(&self.store).await {
                    Ok(listening) => {
                        self.listening = Some(listening);
                        return Some(Change::Live);
                    }
                    Err(_) => {
                        // What has gone away may be somewhere else by now.
                        let _ = self.store.nodes().look(self.store.nodes().topology().number).await;
                        sleep(pause.mul_f64(random_fraction())).await;
                        pause = LONGEST_PAUSE.min(2 * pause);
                        continue;
                    }
                }
            };
            if listening.backlog.overflowed() {
                return Some(self.lost(LostReason::Lagged));
            }
            match listening.event().await {
                Event::News(News::Keys(keys)) => {
                    listening.backlog.read(keys.len());
                    self.ready.extend(keys.iter().filter_map(|key| change(&self.store, key)));
                }
                Event::News(News::Flushed) => {
                    self.ready.push_back(Change::Live);
                    return Some(Change::Lost(LostReason::Flushed));
                }
                Event::Heartbeat => {
                    // Once more when it is over.
                    let untold = !listening.told || listening.moving;
                    if !listening.is_alive(&self.store).await {
                        return Some(self.lost(LostReason::Disconnected));
                    }
                    if untold || listening.moving {
                        return Some(Change::All);
                    }
                }
                Event::News(News::Cut) => return Some(self.lost(LostReason::Disconnected)),
                Event::Moved if self.store.nodes().is_closed() => return None,
                Event::Moved => return Some(self.lost(LostReason::Disconnected)),
            }
        }
    }

    fn lost(&mut self, reason: LostReason) -> Change {
        self.listening = None;
        Change::Lost(reason)
    }
}

impl Listening {
    /// Subscribes at each server.
    async fn begin(store: &RedisStore) -> Result<Self, Failure> {
        let mut topology = store.nodes().watch();
        let servers = topology.borrow_and_update().clone();
        if servers.nodes.is_empty() {
            return Err(Failure::NoConnection);
        }
        let (sender, news) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        let connections =
            servers.nodes.iter().map(|node| subscribe(node, store.keys().prefix(), sender.clone(), backlog.clone()));
        let (connections, told): (Vec<_>, Vec<_>) = try_join_all(connections).await?.into_iter().unzip();
        let told = told.into_iter().all(|told| told);
        Ok(Self {
            told,
            connections,
            news,
            backlog,
            topology,
            next_heartbeat: Instant::now() + HEARTBEAT,
            moving: false,
        })
    }

    async fn event(&mut self) -> Event {
        tokio::select! {
            // What was told comes before what is found out.
            biased;
            news = self.news.recv() => news.map_or(Event::News(News::Cut), Event::News),
            _ = self.topology.changed() => Event::Moved,
            () = sleep_until(self.next_heartbeat) => {
                self.next_heartbeat = Instant::now() + HEARTBEAT;
                Event::Heartbeat
            }
        }
    }

    /// Whether each server answers. Also looks whether others have the keys by now, which is then told in its own way.
    async fn is_alive(&mut self, store: &RedisStore) -> bool {
        let seen = self.topology.borrow().number;
        let mut question = cmd("PING");
        if !store.nodes().is_whole() {
            question = cmd("CLUSTER");
            question.arg("NODES");
        }
        let answers = self.connections.iter_mut().map(|connection| {
            let question = &question;
            async move { timeout(PATIENCE, connection.send_packed_command(question)).await }
        });
        let (answers, _) = futures::future::join(join_all(answers), timeout(PATIENCE, store.nodes().look(seen))).await;
        self.moving = false;
        for answer in &answers {
            match answer {
                // It does not let this user ask what is on its way.
                Ok(Ok(Value::ServerError(_))) => self.moving = true,
                Ok(Ok(nodes)) if !store.nodes().is_whole() => {
                    self.moving |= answer::text(nodes).is_ok_and(is_leaving);
                }
                Ok(Ok(_)) => {}
                _ => return false,
            }
        }
        true
    }
}

/// A connection to a server, and whether it tells what is changed there.
async fn subscribe(
    node: &Node,
    prefix: &str,
    sender: mpsc::UnboundedSender<News>,
    backlog: Arc<Backlog>,
) -> Result<(MultiplexedConnection, bool), Failure> {
    let tell = move |push: PushInfo| {
        let Some(news) = read(&push) else { return Ok(()) };
        if let News::Keys(keys) = &news
            && !backlog.takes(keys.len())
        {
            return Ok(());
        }
        sender.send(news)
    };
    let mut connection = node.connect_with(AsyncConnectionConfig::new().set_push_sender(tell)).await?;
    let mut track = cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
    match connection.send_packed_command(&track).await {
        // It does not know the command, or does not let this user.
        Ok(Value::ServerError(_)) => Ok((connection, false)),
        Ok(_) => Ok((connection, true)),
        Err(error) => Err(connect_failure(&error)),
    }
}

fn read(push: &PushInfo) -> Option<News> {
    match push.kind {
        PushKind::Disconnection => Some(News::Cut),
        PushKind::Invalidate => match push.data.first()? {
            Value::Nil => Some(News::Flushed),
            Value::Array(keys) => {
                let text = |key: &Value| match key {
                    Value::BulkString(bytes) => str::from_utf8(bytes).ok().map(str::to_owned),
                    _ => None,
                };
                Some(News::Keys(keys.iter().filter_map(text).collect()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// What a key tells that was changed. One that is no legal ID's was written by hand; nobody can have asked for it.
fn change(store: &RedisStore, key: &str) -> Option<Change> {
    match store.keys().parse(key)? {
        Key::Record(id) => Some(Change::Acs(AcsId::new(id).ok()?, None)),
        Key::Index(customer) => Some(Change::Customer(CustomerId::new(customer).ok()?)),
        Key::Expiring => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_is_not_forgotten_when_there_is_room_again() {
        let backlog = Backlog::default();
        assert!(backlog.takes(1) && backlog.takes(KEPT) && !backlog.overflowed());
        assert!(!backlog.takes(1));
        // The subscriber had looked before that, and reads all that was kept.
        backlog.read(1);
        backlog.read(KEPT);
        assert!(backlog.overflowed());
    }
}
