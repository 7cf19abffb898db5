-- name: session
-- For who builds a store: large, and nobody waits for the disk before the switch, whose commit is durable with all before it.
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET timezone = 'UTC';
SET client_encoding = 'UTF8'; SET synchronous_commit = off; SET maintenance_work_mem = '256MB';
SET max_parallel_maintenance_workers = 2

-- name: as_text
-- Rows as text, whose digests are compared: the forms that the session of an archive has (archives.sql).
SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1

-- name: restoring
-- One restore at a time in this database: held by the session.
SELECT pg_try_advisory_lock(7311005)

-- name: schemas
-- The stores that there are: the one that serves, one that is being built, and those that were put aside.
SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace
WHERE nspname = 'musterroll' OR nspname LIKE 'musterroll\_%'

-- name: constraint
-- How it is made again.
SELECT pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND k.conname = %s

-- name: standing
-- Where a store stands.
SELECT store_id, epoch, coalesce((SELECT max(position) FROM {schema}.events), 0),
       (SELECT last_value FROM {schema}.positions)
FROM {schema}.store

-- name: migration
-- Its newest, as the context of an archive has it.
SELECT to_char(number, 'FM0000') || '_' || name FROM {schema}.schema_migrations ORDER BY number DESC LIMIT 1

-- name: common
-- The last of some positions that a store has too. No position is handed out twice: what has one has all before it.
SELECT max(position) FROM {schema}.events WHERE position = ANY (%s)

-- name: behind
-- The events behind a position: how many they are, the last, and what the first is.
SELECT behind.events, behind.last, first.position, first.topic, first.recorded_at
FROM (SELECT count(*) AS events, min(position) AS first, max(position) AS last
      FROM {schema}.events WHERE position > %s) AS behind
JOIN {schema}.events AS first ON first.position = behind.first

-- name: drilled
-- The last drill after which all was equal, by the history of the archive whose newest one it is.
SELECT state FROM {schema}.events
WHERE aggregate_id = (SELECT archive_id FROM {schema}.archives WHERE drilled_equal ORDER BY drilled_at DESC LIMIT 1)
  AND topic = 'archive.drilled'
ORDER BY version DESC LIMIT 1

-- name: leased
-- Who holds something, as the board of a store says that was folded to its end.
SELECT task_id FROM {schema}.task_board WHERE status IN ('assigned', 'running') ORDER BY task_id

-- name: columns
-- Of a table, in their order.
SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum

-- name: tables
-- All that can be locked.
SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') ORDER BY relname

-- name: end_others
-- Whoever else works on the store, by the name that all our connections have. All are told first and waited for then.
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'musterroll%%'
  AND pid <> ALL (%s) AND pid <> pg_backend_pid()

-- name: others
-- How many of them are left.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'musterroll%%'
  AND pid <> ALL (%s) AND pid <> pg_backend_pid() AND backend_start < %s

-- name: keep_seal
-- A seal out of an archive, with what was worked out of the rows.
INSERT INTO {schema}.seals (log_id, epoch, size, former_size, position, root, recorded_at, sealed_at, previous, key_id,
                            signature, leaves)
VALUES (%(log)s, %(epoch)s, %(size)s, %(former_size)s, %(position)s, %(root)s, %(recorded_at)s, %(time)s, %(previous)s,
        %(key_id)s, %(signature)s, %(leaves)s)

-- name: keep_nodes
-- Those that its leaves completed.
INSERT INTO {schema}.seal_nodes (size, height, hash)
SELECT * FROM unnest(%(sizes)s::bigint[], %(heights)s::smallint[], %(hashes)s::bytea[])

-- name: append
-- As everybody does, in the transaction of the switch.
SELECT base FROM musterroll.append_events(
    %(aggregates)s::uuid[], %(versions)s::bigint[], %(topics)s::text[], %(states)s::bytea[], %(tenants)s::text[],
    %(actors)s::text[], %(commands)s::uuid[], %(correlations)s::uuid[], %(causations)s::text[], %(traceparents)s::text[],
    '{}'::uuid[], '{}'::bytea[], '{}'::bytea[])

-- name: restored
-- The newest of them.
SELECT recorded_at, position, actor, state FROM events WHERE topic = 'store.restored' ORDER BY position DESC LIMIT 1

-- name: drills
-- Databases of drills that nobody is in, and whose makers, the sessions that their names tell, are gone.
SELECT datname FROM pg_database d WHERE datname ~ '^musterroll_drill_[0-9]+_[0-9a-f]{32}$'
    AND NOT EXISTS (SELECT FROM pg_stat_activity a
                    WHERE a.datname = d.datname OR a.pid::text = split_part(d.datname, '_', 3))

-- name: contents
-- What a store is known again by: all of it that may not have changed since it was built.
SELECT s.store_id, s.epoch, coalesce(e.last, 0), e.size, (SELECT last_value FROM {schema}.positions),
       newest.size, newest.root
FROM {schema}.store s
CROSS JOIN (SELECT max(position) AS last, count(*) AS size FROM {schema}.events) e
LEFT JOIN (SELECT size, root FROM {schema}.seals ORDER BY size DESC LIMIT 1) newest ON true
