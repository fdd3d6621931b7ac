//! What a user would write by hand: one short file for each thing that a benchmark compares with.

pub mod hash_maps;
pub mod http;
pub mod moka_cache;
pub mod mysql;
pub mod postgres;
pub mod quick_cache;
pub mod redis;
pub mod sqlite;
pub mod store;
