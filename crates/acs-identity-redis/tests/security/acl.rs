//! What a user of the servers has to be allowed, no more and no less, as the document on Redis says.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use acs_identity_core::{
    AcsId, Change, ChangeFeed, Error, ErrorKind, Expect, Link, Mapping, MappingStore, MappingStoreExt, Namespace,
    PageRequest, Resolver, Revision, Timestamp,
};
use acs_identity_redis::{RedisOptions, RedisStore};
use acs_identity_servers::{Cluster, Kind, Sentinel, Server};
use futures::{StreamExt, TryStreamExt};

use super::{PASSWORD, ask, customer, id};

/// Opens a store, resolves, and lists a customer's mappings.
const READ: &[&str] = &["get", "info", "mget", "ping", "time", "zrange"];
/// Lists all mappings: `scan`, `rebuild_reverse` and what moves house.
const SCAN: &[&str] = &["scan"];
/// Follows the change feed.
const FEED: &[&str] = &["client|tracking"];
/// Writes.
const WRITE: &[&str] = &["evalsha", "exists", "mset", "script|load", "set", "zadd", "zrem", "zscore"];
/// Waits for replicas.
const WAIT: &[&str] = &["wait"];
/// On a primary that sentinels name.
const BEHIND_SENTINEL: &[&str] = &["role"];
/// On a sentinel.
const SENTINEL: &[&str] = &["sentinel|get-master-addr-by-name"];
/// In a cluster, each role besides.
const READ_IN_CLUSTER: &[&str] = &["asking", "cluster|info", "cluster|slots"];
const SCAN_IN_CLUSTER: &[&str] = &["cluster|nodes"];
const FEED_IN_CLUSTER: &[&str] = &["cluster|nodes"];

const NAMESPACE: &str = "app";
const KEYS: &str = "~acsid:app:*";
const READ_ONLY_KEYS: &str = "%R~acsid:app:*";

/// The words of `ACL SETUSER` for these commands.
fn rules(commands: &[&str]) -> String {
    commands.iter().map(|command| format!("+{command}")).collect::<Vec<_>>().join(" ")
}

/// Makes anew what a user may do, and ends its connections.
async fn allow(urls: &[String], keys: &str, commands: &[&str]) {
    let (rules, password) = (rules(commands), format!(">{PASSWORD}"));
    for url in urls {
        let mut words = vec!["ACL", "SETUSER", "app-user", "reset", "on", &password, "resetchannels", keys];
        words.extend(rules.split_whitespace());
        ask::<()>(url, &words).await;
        ask::<i64>(url, &["CLIENT", "KILL", "USER", "app-user"]).await;
        ask::<()>(url, &["SCRIPT", "FLUSH"]).await;
    }
}

fn login(url: &str) -> String {
    url.replace("redis://", &format!("redis://app-user:{PASSWORD}@"))
}

fn app() -> Namespace {
    Namespace::new(NAMESPACE).unwrap()
}

/// A deployment, what has to be there of it, and how it is opened by the user.
struct Deployment {
    urls: Vec<String>,
    options: RedisOptions,
    /// An ACS ID whose slot is on its way to another node.
    moving: AcsId,
}

impl Deployment {
    fn standalone(server: &Server) -> Self {
        let options = RedisOptions::url(login(&server.url())).namespace(app());
        Self { urls: vec![server.url()], options, moving: id("8:acs:r_moving") }
    }

    /// With a slot half-way.
    fn cluster(cluster: &Cluster) -> Self {
        let options = RedisOptions::cluster(cluster.urls().iter().map(|url| login(url))).namespace(app());
        let moving = id("8:acs:r_moving");
        let slot = cluster.slot_of(format!("acsid:{NAMESPACE}:m:{{}}{moving}", moving = moving.as_str()));
        let from = cluster.master_of(slot).unwrap();
        let _stays_half_way = cluster.migrate_slot(slot, (from + 1) % 3).unwrap();
        Self { urls: cluster.urls(), options, moving }
    }

    async fn open(&self) -> Result<RedisStore, Error> {
        // Nobody has to wait for long who is not allowed.
        self.options.clone().call_deadline(Duration::from_secs(2)).open().await
    }

    /// Takes one command away after another, and asserts that each is missed.
    async fn each_is_needed(&self, keys: &str, commands: &[&str], works: impl AsyncFn(&Self) -> Vec<Done>) {
        allow(&self.urls, keys, commands).await;
        for (what, done) in works(self).await {
            assert!(done.is_ok(), "{what}: {}", done.unwrap_err());
        }
        let repeated: BTreeSet<_> = commands.iter().collect();
        assert_eq!(repeated.len(), commands.len());
        for missing in commands {
            let rest: Vec<&str> = commands.iter().copied().filter(|command| command != missing).collect();
            allow(&self.urls, keys, &rest).await;
            let failed: Vec<_> = works(self).await.into_iter().filter_map(|(_, done)| done.err()).collect();
            assert!(!failed.is_empty(), "{missing} is not needed");
            for error in failed {
                // Who may not take his intents back has them in the way of an erasure.
                let is_in_the_way = *missing == "zrem" && error.kind() == ErrorKind::Unavailable;
                assert!(error.kind() == ErrorKind::Denied || is_in_the_way, "without {missing}: {error}");
                assert!(!super::said(&error).contains(PASSWORD));
            }
        }
    }
}

/// An operation, and whether it worked.
type Done = (&'static str, Result<(), Error>);

/// Some mappings, made by somebody who may do anything.
async fn prepare(options: RedisOptions) {
    let store = options.namespace(app()).open().await.unwrap();
    store.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap();
    let expiring = Link::create(id("8:acs:r_2"), customer("bob")).expiring_in(Duration::from_secs(3600));
    store.link(expiring).await.unwrap();
    store.close().await;
}

async fn read(deployment: &Deployment) -> Vec<Done> {
    let store = match deployment.open().await {
        Ok(store) => store,
        Err(error) => return vec![("open", Err(error))],
    };
    let ids = ["8:acs:r_1", "8:acs:r_2", "8:acs:r_3"].map(id);
    let mut done = vec![("ping", store.ping().await)];
    for id in &ids {
        done.push(("resolve", store.resolve(id).await.map(drop)));
    }
    done.push(("resolve of what moves", store.resolve(&deployment.moving).await.map(drop)));
    for answer in store.resolve_many(&ids).await {
        done.push(("resolve_many", answer.map(drop)));
    }
    let page = store.mappings_of(&customer("bob"), PageRequest::default()).await;
    done.push(("mappings_of", page.map(|page| assert!(page.items.len() == 2))));
    done
}

async fn list(deployment: &Deployment) -> Vec<Done> {
    let mut done = read(deployment).await;
    if let Ok(store) = deployment.open().await {
        done.push(("scan", store.scan_all().try_collect::<Vec<_>>().await.map(drop)));
    }
    done
}

async fn write(deployment: &Deployment) -> Vec<Done> {
    static TIMES: AtomicUsize = AtomicUsize::new(0);
    let mut done = list(deployment).await;
    let Ok(store) = deployment.open().await else { return done };
    // Others each time: a write that was denied half-way has left an intent.
    let time = TIMES.fetch_add(1, Ordering::Relaxed);
    let customer = |name: &str| customer(&format!("{name}-{time}"));
    let link = |text: &str, of: &str| Link::replace(id(text), customer(of));
    let replaced = Link::create(id(&format!("8:acs:w_{time}")), customer("ann"));
    done.push(("link", store.link(replaced.clone().expiring_in(Duration::from_millis(1))).await.map(drop)));
    let expiring = link("8:acs:w_2", "ann").expiring_in(Duration::from_millis(1));
    for link in [link("8:acs:w_1", "ann"), expiring, link("8:acs:w_1", "eve"), link("8:acs:w_3", "eve")] {
        done.push(("link", store.link(link).await.map(drop)));
    }
    let many: Vec<Link> = (0..250).map(|n| link(&format!("8:acs:w_many{n}"), "ann")).collect();
    for linked in store.link_many(&many).await {
        done.push(("link_many", linked.map(drop)));
    }
    let imported =
        Mapping::new(id("8:acs:w_4"), customer("ann"), Revision::new(1 << 52), Timestamp::from_micros(1 << 50));
    for imported in store.import(&[imported]).await {
        done.push(("import", imported.map(drop)));
    }
    done.push(("unlink", store.unlink(&id("8:acs:w_1"), Expect::Any).await.map(drop)));
    done.push(("unlink_customer", store.unlink_customer(&customer("eve")).await.map(drop)));
    tokio::time::sleep(Duration::from_millis(5)).await;
    done.push(("link", store.link(replaced).await.map(drop)));
    done.push(("purge_expired", store.purge_expired(100).await.map(drop)));
    done.push(("rebuild_reverse", store.rebuild_reverse().await.map(drop)));
    done.push(("unlink_customer", store.unlink_customer(&customer("ann")).await.map(drop)));
    done
}

/// Whether the feed comes alive and tells of a change that somebody makes.
async fn feed_lives(deployment: &Deployment, writer: &RedisStore) -> bool {
    let store = deployment.open().await.unwrap();
    let mut changes = store.changes();
    let told = async {
        assert_eq!(changes.next().await, Some(Change::Live));
        writer.link(Link::replace(id("8:acs:r_1"), customer("bob"))).await.unwrap();
        while changes.next().await != Some(Change::Acs(id("8:acs:r_1"), None)) {}
    };
    tokio::time::timeout(Duration::from_secs(3), told).await.is_ok()
}

#[tokio::test]
async fn a_reader_of_a_server_needs_just_these_commands() {
    let server = Server::start(Kind::Redis).unwrap();
    prepare(RedisOptions::url(server.url())).await;
    let deployment = Deployment::standalone(&server);
    deployment.each_is_needed(READ_ONLY_KEYS, READ, read).await;
    let all = [READ, SCAN].concat();
    deployment.each_is_needed(READ_ONLY_KEYS, &all, list).await;
}

#[tokio::test]
async fn a_writer_to_a_server_needs_just_these_commands() {
    let server = Server::start(Kind::Redis).unwrap();
    prepare(RedisOptions::url(server.url())).await;
    Deployment::standalone(&server).each_is_needed(KEYS, &[READ, SCAN, WRITE].concat(), write).await;
}

#[tokio::test]
async fn a_reader_of_a_cluster_needs_just_these_commands() {
    let cluster = Cluster::start().unwrap();
    prepare(RedisOptions::cluster(cluster.urls())).await;
    let deployment = Deployment::cluster(&cluster);
    deployment.each_is_needed(READ_ONLY_KEYS, &[READ, READ_IN_CLUSTER].concat(), read).await;
}

#[tokio::test]
async fn a_writer_to_a_cluster_needs_just_these_commands() {
    let cluster = Cluster::start().unwrap();
    prepare(RedisOptions::cluster(cluster.urls())).await;
    let mut deployment = Deployment::standalone(cluster.node(0));
    deployment.options = RedisOptions::cluster(cluster.urls().iter().map(|url| login(url))).namespace(app());
    deployment.urls = cluster.urls();
    // While a slot moves nothing can be listed; so `asking` is the reader's alone to show.
    let reading: Vec<&str> = READ_IN_CLUSTER.iter().copied().filter(|command| *command != "asking").collect();
    let all = [READ, SCAN, WRITE, &reading, SCAN_IN_CLUSTER].concat();
    deployment.each_is_needed(KEYS, &all, write).await;
}

#[tokio::test]
async fn the_feed_needs_one_command_more() {
    let server = Server::start(Kind::Redis).unwrap();
    prepare(RedisOptions::url(server.url())).await;
    let writer = RedisOptions::url(server.url()).namespace(app()).open().await.unwrap();
    let deployment = Deployment::standalone(&server);
    allow(&deployment.urls, READ_ONLY_KEYS, READ).await;
    assert!(!feed_lives(&deployment, &writer).await);
    // Without being told, it can only say that anything may have changed.
    let mut changes = deployment.open().await.unwrap().changes();
    assert_eq!([changes.next().await, changes.next().await], [Some(Change::Live), Some(Change::All)]);
    allow(&deployment.urls, READ_ONLY_KEYS, &[READ, FEED].concat()).await;
    assert!(feed_lives(&deployment, &writer).await);
}

#[tokio::test]
async fn in_a_cluster_the_feed_needs_another_one() {
    let cluster = Cluster::start().unwrap();
    prepare(RedisOptions::cluster(cluster.urls())).await;
    let writer = RedisOptions::cluster(cluster.urls()).namespace(app()).open().await.unwrap();
    let mut deployment = Deployment::standalone(cluster.node(0));
    deployment.options = RedisOptions::cluster(cluster.urls().iter().map(|url| login(url))).namespace(app());
    deployment.urls = cluster.urls();
    let first = async |commands: &[&str]| {
        allow(&deployment.urls, READ_ONLY_KEYS, &[READ, READ_IN_CLUSTER, commands].concat()).await;
        let mut changes = deployment.open().await.unwrap().changes();
        assert_eq!(changes.next().await, Some(Change::Live));
        tokio::time::timeout(Duration::from_secs(2), changes.next()).await.ok().flatten()
    };
    // Who may not ask what is on its way can only say that anything may have changed.
    for incomplete in [&[][..], FEED, FEED_IN_CLUSTER] {
        assert_eq!(first(incomplete).await, Some(Change::All), "{incomplete:?}");
    }
    assert_eq!(first(&[FEED, FEED_IN_CLUSTER].concat()).await, None);
    assert!(feed_lives(&deployment, &writer).await);
}

/// What there is of a run's customers, as somebody sees it who may do anything; both directions have to agree.
async fn state(store: &RedisStore, run: usize) -> Vec<Mapping> {
    let of = |name: &str| customer(&format!("{name}-{run}"));
    let mut all: Vec<Mapping> = store.scan_all().try_collect().await.unwrap();
    all.retain(|mapping| [of("ann"), of("bea")].contains(&mapping.customer_id));
    all.sort_by(|a, b| a.acs_id.cmp(&b.acs_id));
    for name in ["ann", "bea"] {
        let listed = store.all_mappings_of(&of(name)).await.unwrap();
        let his = all.iter().filter(|mapping| mapping.customer_id == of(name)).count();
        assert_eq!(listed.len(), his, "{name}");
    }
    all
}

/// The only write of a run, of one kind or another.
async fn write_once(store: &RedisStore, kind: usize, run: usize) -> Result<(), Error> {
    let id = |name: &str| id(&format!("8:acs:{name}-{run}"));
    let link = |name: &str, of: &str| Link::replace(id(name), customer(&format!("{of}-{run}")));
    let hour = Duration::from_secs(3600);
    match kind {
        0 => store.link(link("new", "ann")).await.map(drop),
        1 => store.link(link("a", "bea")).await.map(drop),
        2 => store.link(link("a", "ann")).await.map(drop),
        3 => store.link(link("a", "bea").expiring_in(hour)).await.map(drop),
        4 => store.link(link("expiring", "ann")).await.map(drop),
        5 => store.unlink(&id("a"), Expect::Any).await.map(drop),
        _ => store.unlink(&id("expiring"), Expect::Any).await.map(drop),
    }
}

#[tokio::test]
async fn a_write_that_is_denied_has_changed_nothing() {
    let (server, cluster) = (Server::start(Kind::Redis).unwrap(), Cluster::start().unwrap());
    let in_cluster = |url: fn(&str) -> String| RedisOptions::cluster(cluster.urls().iter().map(|it| url(it)));
    let deployments = [
        (vec![server.url()], RedisOptions::url(server.url()), RedisOptions::url(login(&server.url()))),
        (cluster.urls(), in_cluster(str::to_owned), in_cluster(login)),
    ];
    let (mut run, mut denied) = (0, 0);
    for (urls, admin, user) in deployments {
        let admin = admin.namespace(app()).open().await.unwrap();
        for missing in WRITE {
            let others = WRITE.iter().copied().filter(|command| command != missing);
            let allowed: Vec<&str> =
                others.chain(READ.iter().copied()).chain(["cluster|slots", "cluster|info"]).collect();
            allow(&urls, KEYS, &allowed).await;
            let store = user.clone().namespace(app()).open().await.unwrap();
            for kind in 0..7 {
                run += 1;
                let link = |name: &str, of: &str| {
                    Link::create(id(&format!("8:acs:{name}-{run}")), customer(&format!("{of}-{run}")))
                };
                let expiring = link("expiring", "ann").expiring_in(Duration::from_secs(3600));
                for link in [link("a", "ann"), link("b", "bea"), expiring] {
                    admin.link(link).await.unwrap();
                }
                let before = state(&admin, run).await;
                if let Err(error) = write_once(&store, kind, run).await {
                    assert_eq!(error.kind(), ErrorKind::Denied, "without {missing}: {error}");
                    assert_eq!(state(&admin, run).await, before, "write {kind} without {missing}");
                    denied += 1;
                } else {
                    assert_ne!(state(&admin, run).await, before, "write {kind} without {missing}");
                }
            }
        }
    }
    assert!(denied > 30, "{denied}");
}

#[tokio::test]
async fn waiting_for_replicas_needs_one_command_more_which_is_missed_when_the_store_is_opened() {
    let cluster = Cluster::start().unwrap();
    let mut deployment = Deployment::standalone(cluster.node(0));
    let options = RedisOptions::cluster(cluster.urls().iter().map(|url| login(url))).namespace(app());
    deployment.options = options.replica_acknowledgements(1, Duration::from_secs(1));
    deployment.urls = cluster.urls();
    let all = [READ, SCAN, WRITE, &["cluster|info", "cluster|slots"], SCAN_IN_CLUSTER].concat();
    allow(&deployment.urls, KEYS, &all).await;
    let error = deployment.open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    allow(&deployment.urls, KEYS, &[&all, WAIT].concat()).await;
    deployment.open().await.unwrap().link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap();
}

#[tokio::test]
async fn sentinels_and_those_behind_them_need_one_command_more_each() {
    let sentinel = Sentinel::start().unwrap();
    let servers: Vec<String> = (0..2).map(|server| sentinel.server(server).url()).collect();
    let names: Vec<String> = sentinel.urls().iter().map(|url| login(url)).collect();
    let options = RedisOptions::sentinel(login("redis://primary"), Sentinel::MASTER_NAME, &names).namespace(app());
    let deployment = |urls| Deployment { urls, options: options.clone(), moving: id("8:acs:r_moving") };
    let (of_servers, of_sentinels) = (deployment(servers), deployment(sentinel.urls()));
    for url in &of_sentinels.urls {
        let rules = rules(SENTINEL);
        ask::<()>(url, &["ACL", "SETUSER", "app-user", "on", &format!(">{PASSWORD}"), &rules]).await;
    }
    prepare(RedisOptions::sentinel("redis://primary", Sentinel::MASTER_NAME, sentinel.urls())).await;
    of_servers.each_is_needed(READ_ONLY_KEYS, &[READ, BEHIND_SENTINEL].concat(), read).await;
    allow(&of_servers.urls, READ_ONLY_KEYS, &[READ, BEHIND_SENTINEL].concat()).await;
    assert!(of_servers.open().await.is_ok());
    for url in &of_sentinels.urls {
        ask::<()>(url, &["ACL", "SETUSER", "app-user", "nocommands"]).await;
    }
    assert_eq!(of_servers.open().await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_script_that_was_forgotten_is_loaded_again_by_the_user() {
    let server = Server::start(Kind::Redis).unwrap();
    let deployment = Deployment::standalone(&server);
    allow(&deployment.urls, KEYS, &[READ, WRITE].concat()).await;
    let store = deployment.open().await.unwrap();
    for n in 0..3 {
        let link = Link::create(id(&format!("8:acs:r_{n}")), customer("bob"));
        assert!(store.link(link).await.unwrap().changed);
        ask::<()>(&server.url(), &["SCRIPT", "FLUSH"]).await;
    }
    // Who may run scripts but not load them, can if somebody else has loaded them.
    store.link(Link::create(id("8:acs:r_4"), customer("bob"))).await.unwrap();
    ask::<()>(&server.url(), &["ACL", "SETUSER", "app-user", "-script|load"]).await;
    store.link(Link::create(id("8:acs:r_5"), customer("bob"))).await.unwrap();
    ask::<()>(&server.url(), &["SCRIPT", "FLUSH"]).await;
    let error = store.link(Link::create(id("8:acs:r_6"), customer("bob"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(store.resolve(&id("8:acs:r_6")).await.unwrap(), None);
}

#[tokio::test]
async fn another_namespace_is_denied() {
    let server = Server::start(Kind::Redis).unwrap();
    let deployment = Deployment::standalone(&server);
    allow(&deployment.urls, KEYS, &[READ, SCAN, WRITE].concat()).await;
    let store = deployment.open().await.unwrap();
    store.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap();
    // Of names that begin alike, too.
    for other in ["apps", "ap", "other"] {
        let other = store.in_namespace(Namespace::new(other).unwrap());
        let errors = [
            other.resolve(&id("8:acs:r_1")).await.unwrap_err(),
            other.resolve_many(&[id("8:acs:r_1")]).await[0].clone().unwrap_err(),
            other.mappings_of(&customer("bob"), PageRequest::default()).await.unwrap_err(),
            other.link(Link::create(id("8:acs:r_1"), customer("bob"))).await.unwrap_err(),
            other.unlink(&id("8:acs:r_1"), Expect::Any).await.unwrap_err(),
            other.unlink_customer(&customer("bob")).await.unwrap_err(),
            other.purge_expired(1).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(!super::said(&error).contains("8:acs:r_1") && !super::said(&error).contains("bob"));
        }
    }
    // It may only read here, so an entry that is too many stays where it is.
    allow(&deployment.urls, READ_ONLY_KEYS, READ).await;
    let index = ask::<Vec<String>>(&server.url(), &["KEYS", "acsid:app:c:*"]).await;
    ask::<i64>(&server.url(), &["ZADD", &index[0], "1", "8:acs:r_9"]).await;
    let store = deployment.open().await.unwrap();
    let page = store.mappings_of(&customer("bob"), PageRequest::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(store.link(Link::create(id("8:acs:r_2"), customer("bob"))).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn the_document_names_these_commands() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
    let document = std::fs::read_to_string(file).unwrap();
    for commands in
        [READ, SCAN, FEED, WRITE, WAIT, BEHIND_SENTINEL, SENTINEL, READ_IN_CLUSTER, SCAN_IN_CLUSTER, FEED_IN_CLUSTER]
    {
        assert!(document.contains(&format!(" {}\n", rules(commands))), "{commands:?}");
    }
}
