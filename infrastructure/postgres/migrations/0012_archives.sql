-- Archives: their read model, and what taking one reads.

CREATE TABLE archives (
    archive_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    type text NOT NULL,
    status text NOT NULL,
    requested_by text NOT NULL,
    started_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    stored_at timestamptz,
    verified_at timestamptz,
    level smallint,
    drilled_at timestamptz,
    drilled_equal boolean,
    expired_at timestamptz,
    expired_because text,
    manifest text,
    sha256 text,
    epoch integer,
    last bigint,
    last_at timestamptz,
    size bigint,
    root text,
    new_events bigint,
    segments bigint,
    bytes bigint,
    new_bytes bigint,
    error_stage text,
    error_code text,
    error_message text
) WITH (fillfactor = 60);
CREATE TABLE archives_rebuilt (LIKE archives INCLUDING ALL);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON archives, archives_rebuilt TO {application_role};

-- No event of an archive stands in the log yet, so nobody has to read it from the start.
INSERT INTO checkpoints (name, position) SELECT 'archives', max(position) FROM events HAVING max(position) > 0;

-- Requests are kept in the order of their base, but for refusals (base 0): a few bytes for each 32 pages find those that are
-- new since an archive.
CREATE INDEX requests_base ON requests USING brin (base) WITH (pages_per_range = 32, autosummarize = on);

-- An archive says which positions were handed out, so that a restore never hands one out twice, and of which shape the
-- database was.
GRANT SELECT ON SEQUENCE positions TO {application_role};
GRANT SELECT ON schema_migrations TO {application_role};
