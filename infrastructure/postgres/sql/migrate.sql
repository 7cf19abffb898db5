-- name: make_table
-- Which migrations this database has had.
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: applied
-- A handful of rows.
SELECT number, checksum FROM schema_migrations

-- name: lock
-- Held by the session. Nobody waits in it, see `_lock`.
SELECT pg_try_advisory_lock(%s)

-- name: invalid
-- Whether a concurrent build of this index was begun and not ended.
SELECT indexrelid FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid

-- name: note
-- In the transaction of the migration itself, if it has one; else when all of it was done.
INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)
