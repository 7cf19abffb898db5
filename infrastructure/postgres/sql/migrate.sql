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

-- name: note
-- In the transaction of the migration itself.
INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)
