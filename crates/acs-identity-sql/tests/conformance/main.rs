//! The SQL stores keep the promises of a store.

#[path = "../common/by_hand.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod by_hand;
mod server;
mod sqlite;
#[path = "../common/store.rs"]
#[allow(dead_code, reason = "not each of the tests needs all of it")]
mod store;

use std::sync::{Mutex, MutexGuard};

use acs_identity_sql::{MySqlStore, PostgresStore};
use acs_identity_testkit::conformance_main;
use server::Server;
use sqlite::Sqlite;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while it is held")
}

conformance_main!(
    Sqlite::in_file(),
    Sqlite::in_memory(),
    Server::<PostgresStore>::new("postgres"),
    Server::<MySqlStore>::new("mysql"),
);
