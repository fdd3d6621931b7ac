//! The tables, and the triggers that keep the log of changes.

/// The statements of each version, oldest first; the last one notes the version. A version that was released is never
/// changed; a new one is added.
pub(super) const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE acs_identity_schema (
    version INTEGER PRIMARY KEY
) STRICT",
    // Times are in microseconds since the Unix epoch. A row without a customer is a tombstone: it keeps the revision of an
    // ID that was unlinked, until `expires_at`. Texts compare byte for byte, which is SQLite's default.
    "CREATE TABLE acs_identity_mappings (
    namespace TEXT NOT NULL,
    acs_id TEXT NOT NULL,
    customer_id TEXT,
    properties TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revision INTEGER NOT NULL,
    PRIMARY KEY (namespace, acs_id)
) STRICT, WITHOUT ROWID",
    "CREATE INDEX acs_identity_mappings_customer
    ON acs_identity_mappings (namespace, customer_id, created_at, acs_id)
    WHERE customer_id IS NOT NULL",
    "CREATE INDEX acs_identity_mappings_expiring
    ON acs_identity_mappings (namespace, expires_at)
    WHERE customer_id IS NOT NULL AND expires_at IS NOT NULL",
    "CREATE INDEX acs_identity_mappings_tombstones
    ON acs_identity_mappings (expires_at)
    WHERE customer_id IS NULL",
    // The log. Its numbers have no gaps and are given in the order of the commits, since there is one writer at a time.
    // AUTOINCREMENT, so that a number is not given again when the log has been emptied. `at` is in seconds since the epoch.
    "CREATE TABLE acs_identity_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    acs_id TEXT NOT NULL,
    revision INTEGER,
    customer_before TEXT,
    customer_after TEXT,
    at INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT",
    "CREATE TRIGGER acs_identity_changes_trim AFTER INSERT ON acs_identity_changes
BEGIN
    DELETE FROM acs_identity_changes WHERE seq <= NEW.seq - 10000;
END",
    // What is over an hour old goes too, some of it with each change. If the clock was set back, so does what lies as far ahead.
    "CREATE TRIGGER acs_identity_changes_age AFTER INSERT ON acs_identity_changes
WHEN abs(NEW.at - (SELECT at FROM acs_identity_changes ORDER BY seq LIMIT 1)) >= 3600
BEGIN
    DELETE FROM acs_identity_changes
    WHERE seq < (SELECT min(seq) FROM acs_identity_changes) + 500 AND abs(NEW.at - at) >= 3600;
END",
    "CREATE TRIGGER acs_identity_mappings_insert AFTER INSERT ON acs_identity_mappings
WHEN NEW.customer_id IS NOT NULL
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    VALUES (NEW.namespace, NEW.acs_id, NEW.revision, NULL, NEW.customer_id);
END",
    // An INSERT OR REPLACE tells no other trigger whom it takes the ID from. An upsert, which tells the next one too, is in
    // the log twice, and an INSERT OR IGNORE is though it changes nothing, so no revision is told; the store makes none of these.
    "CREATE TRIGGER acs_identity_mappings_replace BEFORE INSERT ON acs_identity_mappings
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    SELECT namespace, acs_id, NULL, customer_id, NEW.customer_id FROM acs_identity_mappings
    WHERE namespace = NEW.namespace AND acs_id = NEW.acs_id
        AND customer_id IS NOT NULL AND customer_id IS NOT NEW.customer_id;
END",
    // Nothing visible changes if a tombstone takes the place of an expired mapping, with the same revision and an hour to live.
    "CREATE TRIGGER acs_identity_mappings_update AFTER UPDATE ON acs_identity_mappings
WHEN OLD.namespace = NEW.namespace AND OLD.acs_id = NEW.acs_id
    AND (OLD.customer_id IS NOT NULL OR NEW.customer_id IS NOT NULL)
    AND (OLD.customer_id IS NOT NEW.customer_id OR OLD.properties IS NOT NEW.properties
        OR OLD.created_at IS NOT NEW.created_at OR OLD.expires_at IS NOT NEW.expires_at
        OR OLD.revision IS NOT NEW.revision)
    AND (NEW.customer_id IS NULL AND NEW.revision = OLD.revision
        AND NEW.expires_at - OLD.expires_at >= 3600000000) IS NOT TRUE
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    VALUES (NEW.namespace, NEW.acs_id, NEW.revision, OLD.customer_id, NEW.customer_id);
END",
    "CREATE TRIGGER acs_identity_mappings_move AFTER UPDATE ON acs_identity_mappings
WHEN OLD.namespace <> NEW.namespace OR OLD.acs_id <> NEW.acs_id
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    SELECT OLD.namespace, OLD.acs_id, NULL, OLD.customer_id, NULL WHERE OLD.customer_id IS NOT NULL
    UNION ALL
    SELECT NEW.namespace, NEW.acs_id, NEW.revision, NULL, NEW.customer_id WHERE NEW.customer_id IS NOT NULL;
END",
    "CREATE TRIGGER acs_identity_mappings_delete AFTER DELETE ON acs_identity_mappings
WHEN OLD.customer_id IS NOT NULL
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    VALUES (OLD.namespace, OLD.acs_id, NULL, OLD.customer_id, NULL);
END",
    "INSERT INTO acs_identity_schema (version) VALUES (1)",
]];
