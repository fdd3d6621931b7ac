//! A client that is stopped between two steps of a write in a cluster leaves an index that has too much in it, never too little.
//!
//! The client is the store itself, whose connection ends before or after the request with a step; what it has left behind is looked at by
//! another one, and on the servers.
#![allow(clippy::unwrap_used)]

#[path = "common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;

use std::time::Duration;

use acs_identity_core::{
    AcsId, CustomerId, ErrorKind, Expect, Link, MappingStore, MappingStoreExt, Namespace, Resolver,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::Cluster;
use by_hand::ByHand;
use redis::cmd;

/// Long enough for a server to do what it was sent.
const DONE: Duration = Duration::from_millis(200);
const LIFETIME: Duration = Duration::from_secs(3600);

/// A step of a write, as it stands in the request for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Note,
    Intend,
    Record,
    Drop,
    Settle,
    SettleExpiry,
    Expired,
}

impl Step {
    fn request(self) -> &'static [u8] {
        match self {
            Self::Note => b"\r\n$1\r\nn\r\n",
            Self::Intend => b"\r\n$1\r\ni\r\n",
            // A number behind what the keys of indexes begin with.
            Self::Record => b":c:{}\r\n$16\r\n",
            Self::Drop => b"\r\n$1\r\nd\r\n",
            Self::Settle => b"\r\n$1\r\ns\r\n",
            Self::SettleExpiry => b"\r\n$1\r\nt\r\n",
            Self::Expired => b"\r\n$1\r\nk\r\n",
        }
    }

    /// The key that the step is about, of a write of an ID that was one customer's and becomes another's.
    fn key(self, by_hand: &ByHand, id: &str) -> String {
        match self {
            Self::Note | Self::Settle => by_hand.index(id, "bea"),
            Self::Record => by_hand.record(id),
            Self::Drop => by_hand.index(id, "ann"),
            Self::Intend | Self::SettleExpiry | Self::Expired => by_hand.expiring_part(id),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Create,
    CreateExpiring,
    Replace,
    ReplaceExpiring,
    Unlink,
}

impl Write {
    fn steps(self) -> &'static [Step] {
        use Step::{Drop, Expired, Intend, Note, Record, Settle, SettleExpiry};
        match self {
            Self::Create => &[Note, Record, Settle],
            Self::CreateExpiring => &[Note, Intend, Record, Settle, SettleExpiry],
            Self::Replace => &[Note, Record, Drop, Expired, Settle],
            Self::ReplaceExpiring => &[Note, Intend, Record, Drop, Settle, SettleExpiry],
            Self::Unlink => &[Record, Drop, Expired],
        }
    }

    fn is_of_a_former(self) -> bool {
        !matches!(self, Self::Create | Self::CreateExpiring)
    }

    async fn carry_out(self, store: &RedisStore, id: &AcsId) -> Result<(), ErrorKind> {
        let link = Link::replace(id.clone(), customer("bea"));
        let done = match self {
            Self::Create | Self::Replace => store.link(link).await.map(drop),
            Self::CreateExpiring | Self::ReplaceExpiring => store.link(link.expiring_in(LIFETIME)).await.map(drop),
            Self::Unlink => store.unlink(id, Expect::Any).await.map(drop),
        };
        done.map_err(|error| error.kind())
    }
}

fn customer(text: &str) -> CustomerId {
    text.parse().unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The server never sees the step.
    Before,
    /// The server takes the step, and the client does not learn of it.
    After,
}

/// Each mapping that there is can be found in the indexes, and what is listed is there.
async fn indexes_have_all(store: &RedisStore, by_hand: &ByHand, id: &AcsId, what: &str) {
    let found = store.resolve(id).await.unwrap();
    for name in ["ann", "bea"] {
        let is_his = found.as_ref().is_some_and(|found| found.customer_id().as_str() == name);
        if is_his {
            assert!(by_hand.members(id.as_str(), name).contains(&String::new()), "{what}: {name} has no entry");
        }
        let listed = store.all_mappings_of(&customer(name)).await.unwrap();
        let listed: Vec<&AcsId> = listed.iter().map(|mapping| &mapping.acs_id).filter(|it| *it == id).collect();
        assert_eq!(listed.len(), usize::from(is_his), "{what}: {name}");
    }
    if found.is_some_and(|found| found.remaining().is_some()) {
        let at: Option<f64> = by_hand.run(cmd("ZSCORE").arg(by_hand.expiring_part(id.as_str())).arg(id.as_str()));
        assert!(at.is_some(), "{what}: nothing is purged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_stopped_at_any_step_leaves_every_mapping_in_the_indexes() {
    let cluster = Cluster::start_behind_proxies(&[]).unwrap();
    let namespace = Namespace::default();
    let by_hand = ByHand::new(cluster.urls(), &namespace);
    let open = || RedisOptions::cluster(cluster.urls()).open();
    let (client, other) = (open().await.unwrap(), open().await.unwrap());
    let mut number = 0;
    for write in [Write::Create, Write::CreateExpiring, Write::Replace, Write::ReplaceExpiring, Write::Unlink] {
        for step in write.steps() {
            for stop in [Stop::Before, Stop::After] {
                number += 1;
                let what = format!("{write:?} stopped {stop:?} {step:?}");
                let id = AcsId::new(format!("8:acs:r_{number}")).unwrap();
                if write.is_of_a_former() {
                    let former = Link::create(id.clone(), customer("ann")).expiring_in(2 * LIFETIME);
                    other.link(former).await.unwrap();
                }
                let before = other.resolve(&id).await.unwrap();
                let node = cluster.master_of(cluster.slot_of(step.key(&by_hand, id.as_str()))).unwrap();
                match stop {
                    Stop::Before => cluster.proxy(node).cut_before_request(step.request()),
                    Stop::After => cluster.proxy(node).cut_after_request(step.request(), DONE),
                }
                let seen = cluster.proxy(node).requests_with(step.request());
                let answer = write.carry_out(&client, &id).await;
                assert!(cluster.proxy(node).requests_with(step.request()) > seen, "{what}: it was not stopped");

                let after = other.resolve(&id).await.unwrap();
                let is_written = before.as_ref().map(|it| it.revision()) != after.as_ref().map(|it| it.revision());
                match step {
                    // A write is done with its record, or it is not done.
                    Step::Note | Step::Intend => {
                        assert_eq!((answer, is_written), (Err(ErrorKind::Timeout), false), "{what}")
                    }
                    Step::Record => {
                        assert_eq!(
                            (answer, is_written),
                            (Err(ErrorKind::OutcomeUnknown), stop == Stop::After),
                            "{what}"
                        );
                    }
                    _ => assert_eq!((answer, is_written), (Ok(()), true), "{what}"),
                }
                indexes_have_all(&other, &by_hand, &id, &what).await;
                // Those that look clean up, and take nothing that is needed.
                indexes_have_all(&other, &by_hand, &id, &what).await;
                // And whoever writes next makes it whole.
                other.link(Link::replace(id.clone(), customer("ann")).expiring_in(LIFETIME)).await.unwrap();
                indexes_have_all(&other, &by_hand, &id, &what).await;
            }
        }
    }
}
