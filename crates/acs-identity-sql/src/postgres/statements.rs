//! The statements of the PostgreSQL dialect.

use crate::batch::Batch;
use crate::dialect::Statements;

/// The server's time when it received the statement, in microseconds; where it is needed.
macro_rules! now {
    () => {
        "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"
    };
}

/// All columns of a mapping.
macro_rules! columns {
    ($now:expr) => {
        concat!("customer_id, properties, expires_at, revision, ", $now, ", acs_id, created_at")
    };
}

macro_rules! mappings_of {
    ($now:expr, $end:literal) => {
        concat!(
            "SELECT ",
            columns!($now),
            " FROM acs_identity_mappings WHERE namespace = $1 AND customer_id = $2 \
                AND (created_at, acs_id) > ($3, $4) AND created_at >= $5 ORDER BY created_at, acs_id LIMIT $6",
            $end
        )
    };
}

pub(super) static STATEMENTS: Statements = Statements {
    resolve: concat!(
        "SELECT customer_id, properties, expires_at, revision, CASE WHEN expires_at IS NOT NULL THEN ",
        now!(),
        " END FROM acs_identity_mappings WHERE namespace = $1 AND acs_id = $2"
    ),
    resolve_many: Batch::Arrays(concat!(
        "SELECT customer_id, properties, expires_at, revision, CASE WHEN expires_at IS NOT NULL THEN ",
        now!(),
        " END, acs_id FROM acs_identity_mappings WHERE namespace = $1 AND acs_id = ANY ($2)"
    )),
    // In order, so that two transactions that hold many rows don't wait for each other in a circle.
    present: Batch::Arrays(concat!(
        "SELECT ",
        columns!("NULL::bigint"),
        " FROM acs_identity_mappings WHERE namespace = $1 AND acs_id = ANY ($2) ORDER BY acs_id FOR UPDATE"
    )),
    insert: Batch::Arrays(
        "INSERT INTO acs_identity_mappings \
            (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) \
        SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])",
    ),
    update: Batch::Arrays(
        "UPDATE acs_identity_mappings AS old SET customer_id = new.customer_id, properties = new.properties, \
            created_at = new.created_at, expires_at = new.expires_at, revision = new.revision \
        FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) \
            AS new (acs_id, customer_id, properties, created_at, expires_at, revision) \
        WHERE old.namespace = $1 AND old.acs_id = new.acs_id",
    ),
    scan: concat!(
        "SELECT ",
        columns!(now!()),
        " FROM acs_identity_mappings WHERE namespace = $1 AND acs_id > $2 ORDER BY acs_id LIMIT $3"
    ),
    mappings_of: mappings_of!(now!(), ""),
    hold_mappings_of: mappings_of!("NULL::bigint", " FOR UPDATE"),
    last_of: concat!(
        "SELECT ",
        columns!("NULL::bigint"),
        " FROM acs_identity_mappings WHERE namespace = $1 AND customer_id = $2 \
            ORDER BY created_at DESC, acs_id DESC LIMIT 1"
    ),
    // What somebody else holds is being changed, and is left for the next time.
    bury_expired: "UPDATE acs_identity_mappings SET customer_id = NULL, properties = NULL, expires_at = $1 \
        WHERE namespace = $2 AND acs_id = ANY (ARRAY(\
            SELECT acs_id FROM acs_identity_mappings \
            WHERE namespace = $2 AND customer_id IS NOT NULL AND expires_at <= $3 \
            ORDER BY expires_at LIMIT $4 FOR UPDATE SKIP LOCKED))",
    forget: "DELETE FROM acs_identity_mappings WHERE ctid = ANY (ARRAY(\
            SELECT ctid FROM acs_identity_mappings WHERE customer_id IS NULL AND expires_at <= $1 \
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    trim_changes: super::feed::TRIM,
    now: Some("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"),
    // Not by `to_regclass`: it asks a cache, which may not know yet what another process has just made.
    schema_exists: "SELECT 1::bigint FROM pg_catalog.pg_class \
        WHERE relname = 'acs_identity_schema' AND pg_catalog.pg_table_is_visible(oid)",
    schema_version: "SELECT max(version) FROM acs_identity_schema",
};
