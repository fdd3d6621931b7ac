//! The tables, and the triggers that keep the log of changes.

/// Lets one process at a time change the schema; until the transaction ends. The number is `acs-iden` in ASCII.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7017579283252274542)";

/// The statements of each version, oldest first; the last one notes the version. A version that was released is never
/// changed; a new one is added.
pub(super) const MIGRATIONS: &[&[&str]] = &[&[
    "CREATE TABLE acs_identity_schema (
    version bigint PRIMARY KEY
)",
    // Times are in microseconds since the Unix epoch. A row without a customer is a tombstone: it keeps the revision of an
    // ID that was unlinked, until `expires_at`. The collation compares texts byte for byte, whatever the database's own is.
    r#"CREATE TABLE acs_identity_mappings (
    namespace text COLLATE "C" NOT NULL,
    acs_id text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C",
    properties text,
    created_at bigint NOT NULL,
    expires_at bigint,
    revision bigint NOT NULL,
    PRIMARY KEY (namespace, acs_id)
)"#,
    "CREATE INDEX acs_identity_mappings_customer
    ON acs_identity_mappings (namespace, customer_id, created_at, acs_id)
    WHERE customer_id IS NOT NULL",
    "CREATE INDEX acs_identity_mappings_expiring
    ON acs_identity_mappings (namespace, expires_at)
    WHERE customer_id IS NOT NULL AND expires_at IS NOT NULL",
    "CREATE INDEX acs_identity_mappings_tombstones
    ON acs_identity_mappings (expires_at)
    WHERE customer_id IS NULL",
    // The log. Its numbers are given before the commit, so a lower one can appear after a higher one; that is why each entry
    // says which transaction it is of. An entry without a namespace tells that anything may have changed.
    r#"CREATE TABLE acs_identity_changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    namespace text COLLATE "C",
    acs_id text COLLATE "C",
    revision bigint,
    customer_before text COLLATE "C",
    customer_after text COLLATE "C",
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)"#,
    "CREATE INDEX acs_identity_changes_transaction
    ON acs_identity_changes (transaction_id)",
    // What was deleted from the log, so that a subscriber can tell whether it has missed something: how often, and the
    // youngest transaction of which an entry is gone.
    "CREATE TABLE acs_identity_trimmed (
    times bigint NOT NULL,
    transaction_id xid8 NOT NULL
)",
    "INSERT INTO acs_identity_trimmed (times, transaction_id) VALUES (0, '0')",
    // Each function keeps the search path with which it was made, so that the tables are found whoever writes.
    // Inserts all of the rows; none, and answers 0, if there is one already. By `ON CONFLICT` each row would cost a fifth more, and
    // by a plain `INSERT` the server would write the ID of the row to its log.
    "CREATE FUNCTION acs_identity_insert(text, text[], text[], text[], bigint[], bigint[], bigint[])
RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    violated text;
BEGIN
    INSERT INTO acs_identity_mappings
        (namespace, acs_id, customer_id, properties, created_at, expires_at, revision)
    SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7);
    RETURN cardinality($2);
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    IF violated = 'acs_identity_mappings_pkey' THEN
        RETURN 0;
    END IF;
    RAISE;
END $$",
    "CREATE FUNCTION acs_identity_note_insert() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    SELECT namespace, acs_id, revision, NULL, customer_id FROM new_rows WHERE customer_id IS NOT NULL;
    RETURN NULL;
END $$",
    // What was and what is, ID by ID, also where an ID was changed. Nothing visible changes if a tombstone takes the place of
    // an expired mapping, with the same revision and an hour to live.
    "CREATE FUNCTION acs_identity_note_update() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    SELECT namespace, acs_id, became.revision, was.customer_id, became.customer_id
    FROM old_rows AS was FULL JOIN new_rows AS became USING (namespace, acs_id)
    WHERE (was.customer_id IS NOT NULL OR became.customer_id IS NOT NULL)
        AND (was.customer_id, was.properties, was.created_at, was.expires_at, was.revision)
            IS DISTINCT FROM (became.customer_id, became.properties, became.created_at, became.expires_at, became.revision)
        AND (became.acs_id IS NOT NULL AND became.customer_id IS NULL AND became.revision = was.revision
            AND became.expires_at - was.expires_at >= 3600000000) IS NOT TRUE;
    RETURN NULL;
END $$",
    "CREATE FUNCTION acs_identity_note_delete() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after)
    SELECT namespace, acs_id, NULL, customer_id, NULL FROM old_rows WHERE customer_id IS NOT NULL;
    RETURN NULL;
END $$",
    "CREATE FUNCTION acs_identity_note_truncate() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO acs_identity_changes (namespace, acs_id) VALUES (NULL, NULL);
    RETURN NULL;
END $$",
    "CREATE TRIGGER acs_identity_mappings_insert AFTER INSERT ON acs_identity_mappings
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION acs_identity_note_insert()",
    "CREATE TRIGGER acs_identity_mappings_update AFTER UPDATE ON acs_identity_mappings
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION acs_identity_note_update()",
    "CREATE TRIGGER acs_identity_mappings_delete AFTER DELETE ON acs_identity_mappings
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION acs_identity_note_delete()",
    "CREATE TRIGGER acs_identity_mappings_truncate AFTER TRUNCATE ON acs_identity_mappings
    FOR EACH STATEMENT EXECUTE FUNCTION acs_identity_note_truncate()",
    // Tells listeners how far the log goes, and no ID: everybody who may connect can listen.
    "CREATE FUNCTION acs_identity_notify() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF current_setting('acs_identity.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('acs_identity', max(seq)::text) FROM new_rows HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$",
    "CREATE TRIGGER acs_identity_changes_notify AFTER INSERT ON acs_identity_changes
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION acs_identity_notify()",
    // A database that was restored elsewhere may remember a transaction that has yet to come there.
    "CREATE FUNCTION acs_identity_note_trim() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE acs_identity_trimmed SET times = times + 1, transaction_id = greatest(
        CASE WHEN transaction_id <= pg_current_xact_id() THEN transaction_id END,
        (SELECT gone.transaction_id FROM old_rows AS gone ORDER BY gone.transaction_id DESC LIMIT 1)
    ) WHERE EXISTS (SELECT FROM old_rows);
    RETURN NULL;
END $$",
    "CREATE FUNCTION acs_identity_note_loss() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE acs_identity_trimmed SET times = times + 1, transaction_id = pg_current_xact_id();
    RETURN NULL;
END $$",
    "CREATE TRIGGER acs_identity_changes_trim AFTER DELETE ON acs_identity_changes
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION acs_identity_note_trim()",
    "CREATE TRIGGER acs_identity_changes_truncate AFTER TRUNCATE ON acs_identity_changes
    FOR EACH STATEMENT EXECUTE FUNCTION acs_identity_note_loss()",
    "INSERT INTO acs_identity_schema (version) VALUES (1)",
]];
