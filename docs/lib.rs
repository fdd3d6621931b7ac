//! Compiles the Rust code in the documents, as doctests. A published crate cannot reach files outside of its folder,
//! so this unpublished one does it for all.

macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {$(
        #[doc = include_str!($path)]
        mod $name {}
    )*};
}

documents! {
    readme: "../README.md",
    architecture: "architecture.md",
    caching: "caching.md",
    cache_decision: "decisions/0002-cache.md",
    client: "client.md",
    draft_to_api: "draft-to-api.md",
    emulator: "emulator.md",
    moving: "moving.md",
    redis: "redis.md",
    sql: "sql.md",
    store_contract: "decisions/0001-store-contract.md",
}
