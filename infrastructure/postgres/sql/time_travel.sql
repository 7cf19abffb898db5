-- name: of_tenant
-- A stretch of the log by primary key; a page ends with the event that brings it over a number of bytes, since inputs
-- may be large. The tenant's own stretch is bounded by the caller.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM (
    SELECT *, sum(length(state)) OVER (ORDER BY position) - length(state) AS bytes_before
    FROM (
        SELECT * FROM events
        WHERE position > %(after)s AND position <= %(until)s AND tenant = %(tenant)s
          AND (topic LIKE 'task.%%' OR topic LIKE 'agent.%%')
        ORDER BY position LIMIT %(limit)s
    ) AS page
) AS measured
WHERE bytes_before < %(bytes)s ORDER BY position

-- name: of_aggregate
-- By the unique index on (aggregate_id, version).
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM events
WHERE aggregate_id = %(aggregate_id)s AND version > %(after_version)s AND position <= %(until)s
ORDER BY version LIMIT %(limit)s

-- name: of_aggregates
-- By the unique index, for each of them in turn.
SELECT e.aggregate_id, e.version, e.topic, e.state, e.tenant, e.actor, e.command_id, e.correlation_id,
       e.causation_id, e.traceparent, e.position, e.recorded_at
FROM unnest(%(aggregate_ids)s::uuid[]) WITH ORDINALITY AS n (aggregate_id, place)
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE aggregate_id = n.aggregate_id AND position <= %(until)s ORDER BY version LIMIT %(limit)s
) AS e
ORDER BY n.place, e.version LIMIT %(limit)s

-- name: at_version
-- By the unique index.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM events WHERE aggregate_id = %s AND version = %s

-- name: last_of
-- By the unique index, backwards.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM events WHERE aggregate_id = %s ORDER BY version DESC LIMIT 1

-- name: submitted
-- A stretch of the log by primary key, backwards: the caller bounds it, since all of it may belong to others. Without
-- the state: it holds the input.
SELECT aggregate_id, version, topic, ''::bytea, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM events
WHERE position < %(before)s AND position >= %(down_to)s AND tenant = %(tenant)s AND topic = 'task.submitted'
ORDER BY position DESC LIMIT %(limit)s

-- name: ever_online
-- By the unique index, of each the first that tells.
SELECT n.agent_id FROM unnest(%(agent_ids)s::uuid[]) AS n (agent_id)
WHERE EXISTS (
    SELECT FROM events
    WHERE aggregate_id = n.agent_id AND topic = 'agent.came_online' AND position <= %(until)s
)
