//! A primary that sentinels watch.

use acs_identity_servers::Sentinel;
use redis::cmd;

use crate::support::{connect, eventually, get, replicated};

#[test]
fn sentinels_put_the_replica_in_the_place_of_a_killed_primary() {
    let mut sentinel = Sentinel::start_with(&[("maxmemory-policy", "noeviction")]).unwrap();
    assert_eq!(sentinel.primary(), Some(0));
    let mut connection = connect(&sentinel.server(0).url()).unwrap();
    cmd("SET").arg("key").arg("kept").exec(&mut connection).unwrap();
    replicated(&mut connection);

    assert_eq!(sentinel.kill_primary().unwrap(), 0);
    eventually("the replica is the primary", || sentinel.primary() == Some(1));
    sentinel.wait_until_ready().unwrap();
    for url in sentinel.urls() {
        let mut connection = connect(&url).unwrap();
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(Sentinel::MASTER_NAME);
        let (_, port): (String, u16) = ask.query(&mut connection).unwrap();
        assert_eq!(port, sentinel.server(1).port());
    }
    let url = sentinel.server(1).url();
    assert_eq!(get(&url, "key").unwrap().as_deref(), Some("kept"));
    let mut connection = connect(&url).unwrap();
    cmd("SET").arg("key").arg("new").exec(&mut connection).unwrap();

    sentinel.server_mut(0).restart().unwrap();
    sentinel.wait_until_ready().unwrap();
    assert_eq!(sentinel.primary(), Some(1));
    replicated(&mut connection);
}
