//! P11: scans.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use acs_identity_core::{Capability, Expect, Link, MappingStore, PageRequest};

use crate::support::{acs, create, joined, namespace, needs, replace};
use crate::{Fixture, Verdict};

/// How many mappings stay throughout.
const STEADY: usize = 300;
/// How many stay, too, but are written again and again.
const WRITTEN: usize = 10;

fn steady(n: usize) -> String {
    format!("8:acs:p11_steady_{n:03}")
}

fn written(n: usize) -> String {
    format!("8:acs:p11_written_{n:02}")
}

/// P11: `scan` lists every mapping that was there throughout, at least once, in bounded memory, while writers go on. A
/// cursor may be used by another client.
pub async fn p11_a_scan_lists_what_was_there_throughout(fixture: &dyn Fixture) -> Verdict {
    for limit in [1, 7, 100] {
        let listed = scan_among_writers(fixture, limit).await;
        for id in (0..STEADY).map(steady).chain((0..WRITTEN).map(written)) {
            assert!(listed.contains_key(&id), "a scan in pages of {limit} has not listed {id}");
        }
        for id in listed.keys() {
            let known = ["8:acs:p11_steady_", "8:acs:p11_written_", "8:acs:p11_passing_"];
            assert!(known.iter().any(|known| id.starts_with(known)), "a scan lists {id}, which is not there");
        }
    }
    Ok(())
}

/// P11: `scan` lists every mapping that was there throughout exactly once, where that is declared.
pub async fn p11_a_scan_lists_each_mapping_once(fixture: &dyn Fixture) -> Verdict {
    needs(&*fixture.open(namespace("p11")).await, Capability::ScanExactlyOnce)?;
    for limit in [1, 7, 100] {
        let listed = scan_among_writers(fixture, limit).await;
        for id in (0..STEADY).map(steady) {
            let times = listed.get(&id).copied().unwrap_or_default();
            // Whether it is listed at all is for the other check.
            assert!(times <= 1, "a scan in pages of {limit} has listed {id} {times} times");
        }
    }
    Ok(())
}

/// How many times a scan lists each ID, with two clients in turn, while others are linked, re-linked and unlinked.
async fn scan_among_writers(fixture: &dyn Fixture, limit: u32) -> HashMap<String, usize> {
    let namespace = namespace("p11");
    let clients = [fixture.open(namespace.clone()).await, fixture.open(namespace).await];
    let customer = |id: &str| id.replace("8:acs:", "customer-");
    let ids = (0..STEADY).map(steady).chain((0..WRITTEN).map(written));
    let removed = (0..50).map(|n| format!("8:acs:p11_removed_{n:02}"));
    let links: Vec<Link> = ids.chain(removed.clone()).map(|id| create(&id, &customer(&id))).collect();
    for result in clients[0].link_many(&links).await {
        result.expect("link_many");
    }
    for id in removed {
        clients[0].unlink(&acs(id), Expect::Any).await.expect("unlink").expect("what was there");
    }

    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(n, client)| tokio::spawn(write_until(done.clone(), client.clone(), n)))
        .collect();
    let listed = scan(&clients, limit).await;
    done.store(true, Ordering::Release);
    for writer in writers {
        joined(writer.await);
    }
    listed
}

async fn write_until(done: Arc<AtomicBool>, client: Arc<dyn MappingStore>, writer: usize) {
    let mut n = 0;
    while !done.load(Ordering::Acquire) {
        let passing = format!("8:acs:p11_passing_{writer}_{:02}", n * 37 % 100);
        client.link(replace(&passing, &format!("{passing}'s"))).await.expect("link");
        client.link(replace(&written(n % WRITTEN), &format!("customer-{writer}-{}", n % 7))).await.expect("re-link");
        if n % 3 > 0 {
            client.unlink(&acs(passing), Expect::Any).await.expect("unlink");
        }
        n += 1;
        tokio::task::yield_now().await;
    }
}

async fn scan(clients: &[Arc<dyn MappingStore>; 2], limit: u32) -> HashMap<String, usize> {
    let mut listed = HashMap::new();
    let mut request = PageRequest::first(limit).expect("a page");
    for client in clients.iter().cycle() {
        let page = client.scan(request.clone()).await.expect("scan");
        assert!(page.items.len() <= limit as usize, "a page of {limit} has {} mappings", page.items.len());
        for mapping in page.items {
            *listed.entry(mapping.acs_id.as_str().to_owned()).or_default() += 1;
        }
        match page.next {
            Some(cursor) => request = request.after(cursor),
            None => break,
        }
    }
    listed
}
