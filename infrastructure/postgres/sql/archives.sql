-- name: session
-- Digests are over rows as text: dates, intervals, bytes and numbers in the very forms that `folding` sets for its own.
-- For whoever takes an archive: nothing of theirs is found before what PostgreSQL brings, nothing can be written, and a long
-- archive is no reason to be ended. Texts are sent in UTF-8, whatever the database holds them in.
SET search_path = pg_catalog; SET default_transaction_read_only = on; SET statement_timeout = 0; SET timezone = 'UTC';
SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'; SET jit = off; SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1

-- name: hold
-- Whoever writes an archive and whoever lets archives go: never both, whatever process does it. Held by the session.
SELECT pg_advisory_lock(7311006)

-- name: try_hold
-- The same for who does not wait.
SELECT pg_try_advisory_lock(7311006)

-- name: statuses
-- What the log knows of archives that are there.
SELECT archive_id, status, coalesce(drilled_equal, false) FROM musterroll.archives WHERE status <> 'expired'

-- name: context
-- Where the log stands in this snapshot. Positions are handed out outside of transactions: never fewer than are to be seen.
SELECT s.store_id, s.epoch, e.position, e.recorded_at, n.last_value, clock_timestamp(),
       (SELECT to_char(number, 'FM0000') || '_' || name FROM musterroll.schema_migrations ORDER BY number DESC LIMIT 1)
FROM musterroll.store s, musterroll.positions n,
     (SELECT position, recorded_at FROM musterroll.events ORDER BY position DESC LIMIT 1) AS e

-- name: begins
-- Where the present epoch begins; by the partial index on what began epochs.
SELECT coalesce(max(position), 0) FROM musterroll.events WHERE topic = 'store.restored'

-- name: sealed
-- The newest head, and the tree's size and root in it.
SELECT size, root FROM musterroll.seals ORDER BY size DESC LIMIT 1

-- name: requests
-- By their base, of which those of an append have the position before it: those of events up to {until} are all there.
COPY (
    SELECT key, fingerprint, base, answer, recorded_at FROM musterroll.requests
    WHERE base >= {after} AND base < {until} ORDER BY base, key
) TO STDOUT (FORMAT binary)

-- name: heads
-- Signed heads without the leaf hashes of their blocks, which follow from the events.
COPY (
    SELECT log_id, epoch, size, former_size, position, root, recorded_at, sealed_at, previous, key_id, signature
    FROM musterroll.seals WHERE size > {after} AND position <= {until} ORDER BY size
) TO STDOUT (FORMAT binary)

-- name: columns
-- Of a table, in their order.
SELECT attname FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

-- name: table
-- A table that is no history, whole.
COPY (SELECT {columns} FROM musterroll.{table} ORDER BY {key}) TO STDOUT (FORMAT binary)

-- name: checkpoint
-- What a read model's rows are true of.
SELECT position FROM musterroll.checkpoints WHERE name = %s

-- name: digest
-- As for a live read model, in the snapshot of the archive.
SELECT encode(sha256(coalesce(string_agg(sha256(convert_to(t::text, 'UTF8')), '' ORDER BY t.{key}), '')), 'hex')
FROM musterroll.{table} t

-- name: listed
-- Newest first: ids rise with the time of their making. There are some hundred rows.
SELECT {columns} FROM archives
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(before)s::uuid IS NULL OR archive_id < %(before)s)
ORDER BY archive_id DESC LIMIT %(limit)s

-- name: one
-- By primary key.
SELECT {columns} FROM archives WHERE archive_id = %(archive_id)s

-- name: newest_verified
-- What an incremental archive continues; of the same events, the one that was taken last.
SELECT {columns} FROM archives WHERE status = 'verified'
ORDER BY epoch DESC, last DESC, archive_id DESC LIMIT 1

-- name: verified
-- Of which the chain of another one may be made.
SELECT archive_id FROM archives WHERE status = 'verified'

-- name: known
-- All ids.
SELECT archive_id FROM archives

-- name: marks
-- When was what. Events behind the end of the newest archive are read by primary key until there is one that is not about
-- archives themselves.
WITH known AS (
    SELECT max(verified_at) AS verified_at, min(verified_at) AS first_verified_at, max(drilled_at) AS drilled_at,
           max(started_at) FILTER (WHERE type <> 'incremental' AND status IN ('stored', 'verified')) AS whole_at,
           coalesce(max(last) FILTER (WHERE status IN ('stored', 'verified')), 0) AS archived_to,
           coalesce(max(last) FILTER (WHERE status = 'verified'), 0) AS verified_to
    FROM archives
)
SELECT verified_at, whole_at, drilled_at, first_verified_at,
       (SELECT recorded_at FROM events WHERE position > archived_to AND topic NOT LIKE 'archive.%%'
        ORDER BY position LIMIT 1),
       (SELECT recorded_at FROM events WHERE position > verified_to AND topic NOT LIKE 'archive.%%'
        ORDER BY position LIMIT 1)
FROM known
