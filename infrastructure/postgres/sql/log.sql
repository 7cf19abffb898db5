-- name: store
-- Which log this is, and which of its epochs.
SELECT store_id, epoch FROM store

-- name: append
-- Everything of a batch in one statement: one round trip, one commit.
SELECT head, base, recorded FROM append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: end_append
-- The connections that are lost to us may still bring an append to its end; how many could not be ended first. The
-- order of conditions in one WHERE would be the planner's to choose.
WITH lost AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE application_name = %s)
SELECT count(*) FROM lost WHERE NOT pg_terminate_backend(pid, 5000)

-- name: find_append
-- By unique indexes, once no append is under way.
SELECT base, recorded FROM find_append(%(aggregates)s::uuid[], %(versions)s::bigint[], %(commands)s::uuid[], %(key)s)

-- name: kept_requests
-- By primary key.
SELECT key, fingerprint, base, answer FROM requests WHERE key = ANY (%s::uuid[])

-- name: taken_versions
-- By the unique index: which of the events of a refused append others wrote first.
SELECT aggregate_id FROM events JOIN unnest(%s::uuid[], %s::bigint[]) AS n (aggregate_id, version)
    USING (aggregate_id, version)

-- name: newest_snapshots
-- One for each aggregate, its newest.
SELECT DISTINCT ON (aggregate_id) aggregate_id, version, topic, state FROM snapshots
WHERE aggregate_id = ANY (%s::uuid[]) ORDER BY aggregate_id, version DESC

-- name: events_of_aggregates
-- By the unique index on (aggregate_id, version), for each from where its snapshot ends.
SELECT e.aggregate_id, e.version, e.topic, e.state
FROM unnest(%s::uuid[], %s::bigint[]) AS n (aggregate_id, above)
CROSS JOIN LATERAL (
    SELECT aggregate_id, version, topic, state FROM events
    WHERE aggregate_id = n.aggregate_id AND version > n.above ORDER BY version
) AS e

-- name: read
-- Keyset pages by primary key; a page ends with the event that brings it over a number of bytes.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
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

-- name: keep_snapshots
-- One is enough; two writers may take the same.
WITH taken AS (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bytea[]) AS n (aggregate_id, version, topic, state)
), former AS (
    DELETE FROM snapshots s USING taken t WHERE s.aggregate_id = t.aggregate_id AND s.version < t.version
)
INSERT INTO snapshots (aggregate_id, version, topic, state) SELECT * FROM taken
ON CONFLICT DO NOTHING

-- name: now
-- PostgreSQL's clock is the one that decides.
SELECT clock_timestamp()
