//! What the document on Redis says of keys and records, on a server.
#![allow(clippy::unwrap_used)]

use acs_identity_core::{AcsId, CustomerId, Link, MappingStore, Namespace, Resolver};
use acs_identity_redis::RedisOptions;
use acs_identity_servers::{Kind, Server};

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md")).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

async fn connect(server: &Server) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn the_example_of_a_record_is_read_as_the_document_says() {
    let server = Server::start(Kind::Redis).unwrap();
    let document = document();
    let (_, example) = document.split_once("GET acsid:app:m:{}8:acs:r_1\n").unwrap();
    let record = hex(example.lines().next().unwrap());
    let mut connection = connect(&server).await;
    let key = "acsid:app:m:{}8:acs:r_1";
    redis::cmd("SET").arg(key).arg(&record).exec_async(&mut connection).await.unwrap();

    let app = Namespace::new("app").unwrap();
    let store = RedisOptions::url(server.url()).namespace(app).open().await.unwrap();
    let (id, customer): (AcsId, CustomerId) = ("8:acs:r_1".parse().unwrap(), "bob@contoso.com".parse().unwrap());
    assert_eq!(store.resolve(&id).await.unwrap().unwrap().customer_id(), &customer);
    // And it is what the store itself writes, but for the time.
    redis::cmd("DEL").arg(key).exec_async(&mut connection).await.unwrap();
    store.link(Link::create(id, customer)).await.unwrap();
    let written: Vec<u8> = redis::cmd("GET").arg(key).query_async(&mut connection).await.unwrap();
    assert_eq!((&written[..2], &written[9..]), (&record[..2], &record[9..]));
}

#[tokio::test]
async fn keys_are_of_the_three_documented_kinds() {
    let server = Server::start(Kind::Redis).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    let link = Link::create("8:acs:r_1".parse().unwrap(), "bob".parse().unwrap());
    store.link(link.expiring_in(std::time::Duration::from_secs(60))).await.unwrap();
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connect(&server).await).await.unwrap();
    keys.sort();
    let [index, expiring, record] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!(record, "acsid:default:m:{}8:acs:r_1");
    let part = index.strip_prefix("acsid:default:c:{}").unwrap().strip_suffix(":bob").unwrap();
    assert!(part.len() == 1 && u8::from_str_radix(part, 16).is_ok(), "{index}");
    let part = expiring.strip_prefix("acsid:default:e:{}").unwrap();
    assert!(part.len() == 2 && u8::from_str_radix(part, 16).is_ok(), "{expiring}");
}

#[tokio::test]
async fn a_small_index_is_kept_in_one_piece() {
    let server = Server::start(Kind::Redis).unwrap();
    let store = RedisOptions::url(server.url()).open().await.unwrap();
    let id = "8:acs:5f3e9a1c-7d2b-4c86-9e41-0a8b6d2f7c13_00000012-3456-789a-bcde-f0123456789a";
    store.link(Link::create(id.parse().unwrap(), "bob".parse().unwrap())).await.unwrap();
    let mut connection = connect(&server).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("acsid:default:c:*").query_async(&mut connection).await.unwrap();
    let found: String = redis::cmd("OBJECT").arg("ENCODING").arg(&keys[0]).query_async(&mut connection).await.unwrap();
    assert_eq!(found, "listpack");
    let members: Vec<Vec<u8>> =
        redis::cmd("ZRANGE").arg(&keys[0]).arg(0).arg(-1).query_async(&mut connection).await.unwrap();
    let document = document();
    let (_, example) = document.split_once(&format!("{id}\n")).unwrap();
    assert_eq!(members, [hex(example.lines().next().unwrap())]);
}
