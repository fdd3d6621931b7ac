//! The tables, and the triggers that keep the log of changes.

use super::statements::now;

/// seconds to wait: lets one process at a time change the schema of this database, until its connection is closed. Answers 1
/// when it is had.
pub(super) const LOCK: &str = "SELECT GET_LOCK(CONCAT('acs_identity:', SHA1(DATABASE())), ?)";

/// The statements of each version, oldest first; the last one notes the version. A version that was released is never
/// changed; a new one is added.
///
/// Each statement commits by itself, so they are written such that a version that was made by half can be finished.
pub(super) const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE IF NOT EXISTS acs_identity_schema (
    version BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB",
    // Times are in microseconds since the Unix epoch. A row without a customer is a tombstone: it keeps the revision of an
    // ID that was unlinked, until `expires_at`. All texts are bytes in UTF-8, so that no character set and no collation matters.
    "CREATE TABLE IF NOT EXISTS acs_identity_mappings (
    namespace VARBINARY(64) NOT NULL,
    acs_id VARBINARY(512) NOT NULL,
    customer_id VARBINARY(512),
    properties BLOB,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revision BIGINT NOT NULL,
    forget_at BIGINT AS (CASE WHEN customer_id IS NULL THEN expires_at END) STORED,
    PRIMARY KEY (namespace, acs_id),
    KEY acs_identity_mappings_customer (namespace, customer_id, created_at, acs_id),
    KEY acs_identity_mappings_expiring (namespace, expires_at),
    KEY acs_identity_mappings_tombstones (forget_at)
) ENGINE = InnoDB",
    // The log. Its numbers are given before the commit, so a lower one can appear after a higher one.
    "CREATE TABLE IF NOT EXISTS acs_identity_changes (
    seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    namespace VARBINARY(64) NOT NULL,
    acs_id VARBINARY(512) NOT NULL,
    revision BIGINT,
    customer_before VARBINARY(512),
    customer_after VARBINARY(512),
    at BIGINT NOT NULL,
    KEY acs_identity_changes_at (at)
) ENGINE = InnoDB",
    // The highest number that was deleted from the log, so that a subscriber can tell whether it has missed something.
    "CREATE TABLE IF NOT EXISTS acs_identity_trimmed (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
) ENGINE = InnoDB",
    "INSERT IGNORE INTO acs_identity_trimmed (id, seq) VALUES (1, 0)",
    "DROP TRIGGER IF EXISTS acs_identity_mappings_insert",
    // A row at a time, with `VALUES`: an `INSERT … SELECT` would hold the lock on the log's next number until its statement
    // ends, at which two batches would be in each other's way.
    concat!(
        "CREATE TRIGGER acs_identity_mappings_insert AFTER INSERT ON acs_identity_mappings FOR EACH ROW
IF NEW.customer_id IS NOT NULL THEN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
    VALUES (NEW.namespace, NEW.acs_id, NEW.revision, NULL, NEW.customer_id, ",
        now!(),
        ");
END IF"
    ),
    "DROP TRIGGER IF EXISTS acs_identity_mappings_update",
    // Of a row whose ID was changed, what it was and what it is. Nothing visible changes if a tombstone takes the place of an
    // expired mapping, with the same revision and an hour to live.
    concat!(
        "CREATE TRIGGER acs_identity_mappings_update AFTER UPDATE ON acs_identity_mappings FOR EACH ROW
IF OLD.namespace = NEW.namespace AND OLD.acs_id = NEW.acs_id THEN
    IF (OLD.customer_id IS NOT NULL OR NEW.customer_id IS NOT NULL)
        AND NOT (OLD.customer_id <=> NEW.customer_id AND OLD.properties <=> NEW.properties
            AND OLD.created_at <=> NEW.created_at AND OLD.expires_at <=> NEW.expires_at AND OLD.revision <=> NEW.revision)
        AND (NEW.customer_id IS NULL AND NEW.revision = OLD.revision
            AND NEW.expires_at - OLD.expires_at >= 3600000000) IS NOT TRUE
    THEN
        INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
        VALUES (NEW.namespace, NEW.acs_id, NEW.revision, OLD.customer_id, NEW.customer_id, ",
        now!(),
        ");
    END IF;
ELSE
    IF OLD.customer_id IS NOT NULL THEN
        INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
        VALUES (OLD.namespace, OLD.acs_id, NULL, OLD.customer_id, NULL, ",
        now!(),
        ");
    END IF;
    IF NEW.customer_id IS NOT NULL THEN
        INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
        VALUES (NEW.namespace, NEW.acs_id, NEW.revision, NULL, NEW.customer_id, ",
        now!(),
        ");
    END IF;
END IF"
    ),
    "DROP TRIGGER IF EXISTS acs_identity_mappings_delete",
    concat!(
        "CREATE TRIGGER acs_identity_mappings_delete AFTER DELETE ON acs_identity_mappings FOR EACH ROW
IF OLD.customer_id IS NOT NULL THEN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
    VALUES (OLD.namespace, OLD.acs_id, NULL, OLD.customer_id, NULL, ",
        now!(),
        ");
END IF"
    ),
    "DROP TRIGGER IF EXISTS acs_identity_changes_trim",
    // A store that sweeps notes the highest number first, and says so in the variable.
    "CREATE TRIGGER acs_identity_changes_trim AFTER DELETE ON acs_identity_changes FOR EACH ROW
IF (OLD.seq <= @acs_identity_trimmed) IS NOT TRUE THEN
    UPDATE acs_identity_trimmed SET seq = GREATEST(seq, OLD.seq) WHERE id = 1;
END IF",
    "INSERT IGNORE INTO acs_identity_schema (version) VALUES (1)",
]];
