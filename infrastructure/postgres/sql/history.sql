-- name: history
-- A stretch of the log by primary key, whatever of it belongs to whom; the page ends with the event that brings it over a
-- number of bytes. The caller bounds the stretch, since all of it may belong to others.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM (
    SELECT *, sum(length(state)) OVER (ORDER BY position) - length(state) AS bytes_before
    FROM (
        SELECT * FROM events
        WHERE position > %(after)s AND position <= %(until)s AND tenant = %(tenant)s
          AND (%(topics)s::text[] IS NULL OR topic = ANY (%(topics)s))
        ORDER BY position LIMIT %(limit)s
    ) AS page
) AS measured
WHERE bytes_before < %(bytes)s ORDER BY position

-- name: history_of_aggregates
-- The same of a few aggregates, by the unique index on (aggregate_id, version).
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM (
    SELECT *, sum(length(state)) OVER (ORDER BY position) - length(state) AS bytes_before
    FROM (
        SELECT * FROM events
        WHERE aggregate_id = ANY (%(aggregate_ids)s::uuid[])
          AND position > %(after)s AND position <= %(until)s AND tenant = %(tenant)s
          AND (%(topics)s::text[] IS NULL OR topic = ANY (%(topics)s))
        ORDER BY position LIMIT %(limit)s
    ) AS page
) AS measured
WHERE bytes_before < %(bytes)s ORDER BY position

-- name: labels
-- Of each aggregate, at a version: the newest event until then that says which labels it has. Backwards by the unique
-- index; few events stand between.
SELECT n.aggregate_id, n.version, e.labels
FROM unnest(%(aggregates)s::uuid[], %(versions)s::bigint[]) AS n (aggregate_id, version)
CROSS JOIN LATERAL (
    SELECT (convert_from(state, 'UTF8')::json -> 'labels')::text AS labels FROM events
    WHERE aggregate_id = n.aggregate_id AND version <= n.version AND topic = ANY (%(topics)s)
    ORDER BY version DESC LIMIT 1
) AS e
