//! Somebody else's client, which knows how keys are built and runs the store's scripts, step by step where the store does them all.
//!
//! In a cluster it follows `MOVED`, and asks each node in turn where the first does not answer.

use std::time::Duration;

use acs_identity_core::{Link, Namespace, When};
use crc::{CRC_16_XMODEM, Crc};
use redis::{Client, Cmd, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value, cmd};

/// The store's own.
const WRITE: &str = include_str!("../../src/scripts/write.lua");
const INDEX: &str = include_str!("../../src/scripts/index.lua");

/// Of which a cluster makes slots.
const SUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

pub(crate) struct ByHand {
    urls: Vec<String>,
    namespace: Namespace,
    /// How long one server may take.
    patience: Duration,
}

/// What `write.lua` says of one item.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) changed: bool,
    /// The creation time of what was written.
    pub(crate) created: u64,
    /// The customer and the creation time of the record that was there.
    pub(crate) former: Option<(String, u64)>,
}

impl ByHand {
    /// Of one server, or of the nodes of a cluster.
    pub(crate) fn new(urls: Vec<String>, namespace: &Namespace) -> Self {
        Self { urls, namespace: namespace.clone(), patience: Duration::from_secs(5) }
    }

    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub(crate) fn record(&self, id: &str) -> String {
        format!("acsid:{}:m:{{}}{id}", self.namespace.as_str())
    }

    /// The part of a customer's index in which an ID is: by the last four bits of its sum.
    pub(crate) fn index(&self, id: &str, customer: &str) -> String {
        format!("{}{:x}:{customer}", self.index_prefix(), SUM.checksum(id.as_bytes()) % 16)
    }

    /// The slot of a key without a hash tag.
    pub(crate) fn slot(key: &str) -> u16 {
        SUM.checksum(key.as_bytes()) % 16384
    }

    fn index_prefix(&self) -> String {
        format!("acsid:{}:c:{{}}", self.namespace.as_str())
    }

    fn expiring_prefix(&self) -> String {
        format!("acsid:{}:e:{{}}", self.namespace.as_str())
    }

    /// The part of the index by expiry in which an ID is: by the eight bits above.
    pub(crate) fn expiring_part(&self, id: &str) -> String {
        format!("{}{:02x}", self.expiring_prefix(), SUM.checksum(id.as_bytes()) / 16 % 256)
    }

    /// The keys of all parts of all indexes by customer.
    pub(crate) fn indexes(&self) -> Vec<String> {
        self.keys(&self.index_prefix())
    }

    /// The keys of all parts of the index by expiry.
    pub(crate) fn expiring(&self) -> Vec<String> {
        self.keys(&self.expiring_prefix())
    }

    /// How many IDs there are in the index by expiry.
    pub(crate) fn expiring_ids(&self) -> u64 {
        self.expiring().iter().map(|key| self.run::<u64>(cmd("ZCOUNT").arg(key).arg(0).arg("+inf"))).sum()
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        let pattern = format!("{prefix}*");
        let mut keys: Vec<String> = self
            .urls
            .iter()
            .flat_map(|url| self.ask_at::<Vec<String>>(url, cmd("KEYS").arg(&pattern)).expect("its keys"))
            .collect();
        // A replica has the same as its master.
        keys.sort();
        keys.dedup();
        keys
    }

    /// Carries out a command wherever its key is.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut failure = None;
        for url in &self.urls {
            match self.ask_at(url, command) {
                Err(error) if error.kind() == redis::ErrorKind::Server(ServerErrorKind::Moved) => {
                    let (node, _) = error.redirect_node().expect("an address");
                    return self.ask_at(&format!("redis://{node}"), command);
                }
                Err(error) => failure = Some(error),
                answer => return answer,
            }
        }
        Err(failure.expect("there is a server"))
    }

    fn ask_at<T: FromRedisValue>(&self, url: &str, command: &Cmd) -> RedisResult<T> {
        let mut connection = Client::open(url)?.get_connection_with_timeout(self.patience)?;
        connection.set_read_timeout(Some(self.patience))?;
        connection.set_write_timeout(Some(self.patience))?;
        command.query(&mut connection)
    }

    pub(crate) fn run<T: FromRedisValue>(&self, command: &mut Cmd) -> T {
        self.ask(command).unwrap_or_else(|error: RedisError| panic!("{error}"))
    }

    /// A step of `index.lua` about one ID: the server's time, and what it answers.
    pub(crate) fn step(&self, id: &str, customer: &str, what: &str, first: &str, second: &str) -> (u64, u64) {
        self.step_at(&self.index(id, customer), id, what, first, second)
    }

    /// The same in any part of an index.
    pub(crate) fn step_at(&self, key: &str, id: &str, what: &str, first: &str, second: &str) -> (u64, u64) {
        let mut run = cmd("EVAL");
        run.arg(INDEX).arg(1).arg(key).arg(id).arg(what).arg(first).arg(second);
        self.run(&mut run)
    }

    /// The members of an ID in a customer's index, without the ID itself, in a fixed order: `""` for the entry, `"\0"` for an
    /// intent, `"\u{1}"` for a mark.
    pub(crate) fn members(&self, id: &str, customer: &str) -> Vec<String> {
        let members: Vec<String> =
            self.run(cmd("ZRANGE").arg(self.index(id, customer)).arg("-inf").arg("+inf").arg("BYSCORE"));
        let mut members: Vec<String> =
            members.iter().filter_map(|member| member.strip_suffix(id)).map(str::to_owned).collect();
        members.sort();
        members
    }

    /// The score of a member of a customer's index.
    pub(crate) fn score(&self, id: &str, customer: &str, member: &str) -> Option<f64> {
        self.run(cmd("ZSCORE").arg(self.index(id, customer)).arg(member))
    }

    /// The record alone, as in a cluster; `None` if it is later than it may be.
    pub(crate) fn write(&self, link: &Link, latest: u64) -> Option<Written> {
        let what = match link.when {
            When::CreateOnly => "c",
            When::Replace => "r",
            _ => panic!("no condition by hand"),
        };
        assert!(link.properties.is_empty() && link.expires.is_none(), "a plain link by hand");
        let (id, customer) = (link.acs_id.as_str(), link.customer_id.as_str());
        let mut run = cmd("EVAL");
        run.arg(WRITE).arg(1).arg(self.record(id)).arg(0).arg(self.index_prefix()).arg(latest).arg(1);
        run.arg(format!("{what}C")).arg(id).arg(customer);
        let answer: Vec<Value> = self.run(&mut run);
        match &answer[..] {
            [Value::Int(_)] => None,
            [Value::Int(_), Value::Int(created), before] => Some(Written {
                changed: *created >= 0,
                created: u64::try_from(*created - 1).unwrap_or_default(),
                former: match before {
                    Value::BulkString(record) => former(record),
                    _ => None,
                },
            }),
            answer => panic!("not an answer of the script: {answer:?}"),
        }
    }

    /// The first steps of the write of a link in a cluster, as `write/split.rs` lists them; `false` if it has no more than that.
    pub(crate) fn first_steps(&self, steps: u32, link: &Link) -> bool {
        let (id, customer) = (link.acs_id.as_str(), link.customer_id.as_str());
        if steps > 3 {
            return false;
        }
        self.step(id, customer, "n", "", "");
        if steps == 1 {
            return true;
        }
        let written = self.write(link, u64::MAX >> 11).expect("it is not too late");
        if steps == 2 {
            return true;
        }
        if let Some((former, created)) = written.former.filter(|(former, _)| written.changed && former != customer) {
            self.step(id, &former, "d", &created.to_string(), "");
        }
        true
    }
}

/// The customer and the creation time in a record, which has neither expiry nor properties.
fn former(record: &[u8]) -> Option<(String, u64)> {
    let (head, rest) = record.split_at(9);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (created, customer) = match head[1] {
        0 => return None,
        1 => (number(&head[2..]), rest),
        9 => (number(&rest[..7]), &rest[7..]),
        flags => panic!("a record of this sort was not expected: {flags}"),
    };
    Some((String::from_utf8(customer.to_vec()).expect("UTF-8"), created))
}
