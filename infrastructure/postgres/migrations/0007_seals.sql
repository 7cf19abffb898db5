-- Seals: the log in blocks, each ended by a signed head of the Merkle tree over everything up to there.

CREATE TABLE seal_keys (
    key_id text PRIMARY KEY,
    public_key bytea NOT NULL,
    added_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A block goes from one head's size to the next, so of two processes that seal the same block one is refused.
CREATE TABLE seals (
    size bigint PRIMARY KEY,
    former_size bigint NOT NULL UNIQUE,
    log_id uuid NOT NULL,
    epoch integer NOT NULL,
    position bigint NOT NULL UNIQUE,
    root bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    sealed_at timestamptz NOT NULL,
    previous bytea NOT NULL,
    key_id text NOT NULL REFERENCES seal_keys,
    signature bytea NOT NULL,
    leaves bytea NOT NULL,
    CHECK (size > former_size AND octet_length(leaves) = 32 * (size - former_size))
);
-- Hashes cannot be compressed, and a slice of what is not can be read by itself.
ALTER TABLE seals ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- Whole nodes of height 8 and more, by the size of the tree that completed them; a node's index is (size >> height) - 1.
CREATE TABLE seal_nodes (
    size bigint NOT NULL,
    height smallint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (size, height)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seal_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE seal_keys ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE seals ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON seal_nodes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE seal_nodes ENABLE ALWAYS TRIGGER append_only;

GRANT SELECT, INSERT ON seal_keys, seals, seal_nodes TO {application_role};
