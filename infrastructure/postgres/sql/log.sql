-- name: store
-- Which log this is, and which of its epochs.
SELECT store_id, epoch FROM store

-- name: append
-- Everything of a batch in one statement: one round trip, one commit.
SELECT command_position FROM append_events(
    %s::uuid[], %s::bytea[], %s::uuid[], %s::bigint[], %s::text[], %s::text[],
    %s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::text[], %s::text[], %s::uuid[],
    %s::text[], %s::text[])

-- name: outcomes
-- By primary key, after any append under way has ended.
SELECT command_id, fingerprint, aggregate_id, version, position, refusal_code, refusal_message
FROM command_outcomes(%s::uuid[])

-- name: aggregate_events
-- By the unique index on (aggregate_id, version).
SELECT aggregate_id, version, topic, state FROM events
WHERE aggregate_id = %(aggregate_id)s
  AND version > %(above)s AND version <= %(up_to)s
ORDER BY version LIMIT %(limit)s

-- name: aggregate_events_newest_first
-- The same, read from the newest.
SELECT aggregate_id, version, topic, state FROM events
WHERE aggregate_id = %(aggregate_id)s
  AND version > %(above)s AND version <= %(up_to)s
ORDER BY version DESC LIMIT %(limit)s

-- name: read
-- Keyset pages by primary key; a page ends with the event that brings it over a number of bytes.
SELECT position, aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, recorded_at
FROM (
    SELECT *, sum(length(state)) OVER (ORDER BY position) - length(state) AS bytes_before
    FROM (
        SELECT * FROM events WHERE position > %(after)s ORDER BY position LIMIT %(limit)s
    ) AS page
) AS measured
WHERE bytes_before < %(bytes)s ORDER BY position

-- name: head
-- The primary key read from its end.
SELECT coalesce(max(position), 0) FROM events

-- name: snapshots
-- The newest at or below a version.
SELECT aggregate_id, version, topic, state FROM snapshots
WHERE aggregate_id = %(aggregate_id)s
  AND version > %(above)s AND version <= %(up_to)s
ORDER BY version DESC LIMIT %(limit)s

-- name: keep_snapshot
-- One is enough; two writers may take the same.
WITH former AS (
    DELETE FROM snapshots WHERE aggregate_id = %(aggregate_id)s AND version < %(version)s
)
INSERT INTO snapshots (aggregate_id, version, topic, state)
VALUES (%(aggregate_id)s, %(version)s, %(topic)s, %(state)s)
ON CONFLICT DO NOTHING

-- name: now
-- PostgreSQL's clock is the one that decides.
SELECT clock_timestamp()
