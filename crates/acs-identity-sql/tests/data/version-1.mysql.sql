-- version 1

CREATE TABLE IF NOT EXISTS acs_identity_schema (
    version BIGINT NOT NULL PRIMARY KEY
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS acs_identity_mappings (
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
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS acs_identity_changes (
    seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    namespace VARBINARY(64) NOT NULL,
    acs_id VARBINARY(512) NOT NULL,
    revision BIGINT,
    customer_before VARBINARY(512),
    customer_after VARBINARY(512),
    at BIGINT NOT NULL,
    KEY acs_identity_changes_at (at)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS acs_identity_trimmed (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
) ENGINE = InnoDB;

INSERT IGNORE INTO acs_identity_trimmed (id, seq) VALUES (1, 0);

DROP TRIGGER IF EXISTS acs_identity_mappings_insert;

DELIMITER //
CREATE TRIGGER acs_identity_mappings_insert AFTER INSERT ON acs_identity_mappings FOR EACH ROW
IF NEW.customer_id IS NOT NULL THEN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
    VALUES (NEW.namespace, NEW.acs_id, NEW.revision, NULL, NEW.customer_id, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
END IF //
DELIMITER ;

DROP TRIGGER IF EXISTS acs_identity_mappings_update;

DELIMITER //
CREATE TRIGGER acs_identity_mappings_update AFTER UPDATE ON acs_identity_mappings FOR EACH ROW
IF OLD.namespace = NEW.namespace AND OLD.acs_id = NEW.acs_id THEN
    IF (OLD.customer_id IS NOT NULL OR NEW.customer_id IS NOT NULL)
        AND NOT (OLD.customer_id <=> NEW.customer_id AND OLD.properties <=> NEW.properties
            AND OLD.created_at <=> NEW.created_at AND OLD.expires_at <=> NEW.expires_at AND OLD.revision <=> NEW.revision)
        AND (NEW.customer_id IS NULL AND NEW.revision = OLD.revision
            AND NEW.expires_at - OLD.expires_at >= 3600000000) IS NOT TRUE
    THEN
        INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
        VALUES (NEW.namespace, NEW.acs_id, NEW.revision, OLD.customer_id, NEW.customer_id, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
    END IF;
ELSE
    IF OLD.customer_id IS NOT NULL THEN
        INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
        VALUES (OLD.namespace, OLD.acs_id, NULL, OLD.customer_id, NULL, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
    END IF;
    IF NEW.customer_id IS NOT NULL THEN
        INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
        VALUES (NEW.namespace, NEW.acs_id, NEW.revision, NULL, NEW.customer_id, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
    END IF;
END IF //
DELIMITER ;

DROP TRIGGER IF EXISTS acs_identity_mappings_delete;

DELIMITER //
CREATE TRIGGER acs_identity_mappings_delete AFTER DELETE ON acs_identity_mappings FOR EACH ROW
IF OLD.customer_id IS NOT NULL THEN
    INSERT INTO acs_identity_changes (namespace, acs_id, revision, customer_before, customer_after, at)
    VALUES (OLD.namespace, OLD.acs_id, NULL, OLD.customer_id, NULL, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
END IF //
DELIMITER ;

DROP TRIGGER IF EXISTS acs_identity_changes_trim;

DELIMITER //
CREATE TRIGGER acs_identity_changes_trim AFTER DELETE ON acs_identity_changes FOR EACH ROW
IF (OLD.seq <= @acs_identity_trimmed) IS NOT TRUE THEN
    UPDATE acs_identity_trimmed SET seq = GREATEST(seq, OLD.seq) WHERE id = 1;
END IF //
DELIMITER ;

INSERT IGNORE INTO acs_identity_schema (version) VALUES (1);

-- what was in it
INSERT INTO acs_identity_mappings (namespace, acs_id, customer_id, properties, created_at, expires_at, revision) VALUES
('default', '8:acs:r_a', 'bob', '{"team":"blue","note":"\\"quoted\\" é"}', 1750000000000001, NULL, 1750000000000001),
('default', '8:acs:r_A', 'bob', NULL, 1750000000000002, NULL, 1750000000000002),
('default', '8:acs:r_á', 'b''o"b', NULL, 1750000000000003, NULL, 9000000000000),
('default', '8:acs:r_á', 'b''o"b', NULL, 1750000000000003, 4102444800000000, 1750000000000003),
('default', '8:acs:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'bob', NULL, 1750000000000000, NULL, 1750000000000000),
('default', '4:+15551234567', 'carol', NULL, 1750000000000004, 1750000100000000, 1750000000000004),
('default', '8:acs:r_gone', NULL, NULL, 1750000000000005, 4102444800000000, 4102444800000005),
('other', '8:acs:r_a', 'al', NULL, 1750000000000006, NULL, 1750000000000006);
DELETE FROM acs_identity_changes;
INSERT INTO acs_identity_changes (seq, namespace, acs_id, revision, customer_before, customer_after, at) VALUES
(41, 'default', '8:acs:r_a', 1750000000000001, NULL, 'bob', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))),
(43, 'default', '8:acs:r_gone', 1750000000000005, 'bob', NULL, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))),
(44, 'other', '8:acs:r_a', 1750000000000006, NULL, 'al', TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)));
UPDATE acs_identity_trimmed SET seq = 40;
