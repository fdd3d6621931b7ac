//! The statements of the dialect of MySQL and MariaDB.

use std::sync::LazyLock;

use crate::batch::Batch;
use crate::dialect::Statements;

/// Sizes of a statement that looks for several IDs. A list is filled up by repeating its last ID, which costs little.
const LOOKUPS: &[usize] = &[1, 8, 64, 512];
/// Sizes of a statement that writes several rows, which can't be filled up.
const WRITES: &[usize] = &[1, 8, 64, 256];

/// The server's time when it received the statement, in microseconds, whatever the time zone of the session is.
macro_rules! now {
    () => {
        "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
    };
}
pub(super) use now;

macro_rules! mappings_of {
    ($now:expr, $end:literal) => {
        // Not `(created_at, acs_id) > (?, ?)`, for which the servers would not use the index.
        concat!(
            "SELECT customer_id, properties, expires_at, revision, ",
            $now,
            ", acs_id, created_at FROM acs_identity_mappings WHERE namespace = ? AND customer_id = ? \
                AND ((created_at = ? AND acs_id > ?) OR created_at > ?) ORDER BY created_at, acs_id LIMIT ?",
            $end
        )
    };
}

pub(super) static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| Statements {
    resolve: concat!(
        "SELECT customer_id, properties, expires_at, revision, IF(expires_at IS NULL, NULL, ",
        now!(),
        ") FROM acs_identity_mappings WHERE namespace = ? AND acs_id = ?"
    ),
    resolve_many: Batch::sized(LOOKUPS, |size| {
        lookup(concat!("IF(expires_at IS NULL, NULL, ", now!(), "), acs_id"), size, "")
    }),
    present: Batch::sized(LOOKUPS, |size| lookup("NULL, acs_id, created_at", size, " FOR UPDATE")),
    insert: Batch::sized(WRITES, |size| insert(size, "")),
    // Each of these rows is there and held, so it is always the update.
    update: Batch::sized(WRITES, |size| {
        insert(
            size,
            " ON DUPLICATE KEY UPDATE customer_id = VALUES(customer_id), properties = VALUES(properties), \
                created_at = VALUES(created_at), expires_at = VALUES(expires_at), revision = VALUES(revision)",
        )
    }),
    scan: concat!(
        "SELECT customer_id, properties, expires_at, revision, ",
        now!(),
        ", acs_id, created_at FROM acs_identity_mappings WHERE namespace = ? AND acs_id > ? ORDER BY acs_id LIMIT ?"
    ),
    mappings_of: mappings_of!(now!(), ""),
    hold_mappings_of: mappings_of!("NULL", " FOR UPDATE"),
    last_of: "SELECT customer_id, properties, expires_at, revision, NULL, acs_id, created_at FROM acs_identity_mappings \
        WHERE namespace = ? AND customer_id = ? ORDER BY created_at DESC, acs_id DESC LIMIT 1",
    bury_expired: "UPDATE acs_identity_mappings SET customer_id = NULL, properties = NULL, expires_at = ? \
        WHERE namespace = ? AND customer_id IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?",
    forget: "DELETE FROM acs_identity_mappings WHERE forget_at <= ? ORDER BY forget_at LIMIT ?",
    trim_changes: super::feed::TRIM,
    now: Some(concat!("SELECT ", now!())),
    schema_exists: "SELECT 1 FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_name = 'acs_identity_schema'",
    schema_version: "SELECT max(version) FROM acs_identity_schema",
});

fn lookup(more: &str, size: usize, end: &str) -> String {
    let ids = vec!["?"; size].join(", ");
    format!(
        "SELECT customer_id, properties, expires_at, revision, {more} FROM acs_identity_mappings \
        WHERE namespace = ? AND acs_id IN ({ids}){end}"
    )
}

fn insert(size: usize, end: &str) -> String {
    let rows = vec!["(?, ?, ?, ?, ?, ?, ?)"; size].join(", ");
    format!(
        "INSERT INTO acs_identity_mappings \
            (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) VALUES {rows}{end}"
    )
}
