-- name: columns
-- What a fact is made of. Stands where the others say columns.
position, aggregate_id, version, topic, command_id, causation_id, state

-- name: facts
-- Of what another one finds, as many as there is room for; the last is the one that brings them over a number of bytes.
-- Three of the members are the event's own fields: each state is read once, and none that there is no room for.
SELECT position, aggregate_id, version, topic, command_id, causation_id,
       own.attempt, own.agent_id, own.parent_id, length(state)
FROM (
    SELECT *, sum(length(state)) OVER (ORDER BY place) - length(state) AS bytes_before
    FROM (SELECT *, row_number() OVER () AS place FROM ({found}) AS found LIMIT %(room)s) AS numbered
) AS kept
CROSS JOIN LATERAL json_to_record(convert_from(state, 'UTF8')::json)
    AS own (attempt text, agent_id text, parent_id text)
WHERE bytes_before < %(bytes)s

-- name: records
-- By primary key; a page ends with the event that brings it over a number of bytes.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM (
    SELECT *, sum(length(state)) OVER (ORDER BY place) - length(state) AS bytes_before
    FROM unnest(%(positions)s::bigint[]) WITH ORDINALITY AS n (position, place)
    JOIN events USING (position)
    WHERE tenant = %(tenant)s
) AS found
WHERE bytes_before < %(bytes)s ORDER BY place

-- name: facts_at
-- By primary key.
SELECT {columns} FROM events WHERE position = ANY (%(positions)s::bigint[]) AND tenant = %(tenant)s

-- name: facts_before
-- Of each aggregate the first one, and the newest ones before a position, by the unique index on (aggregate_id, version).
-- Progress causes nothing, and there may be a great deal of it.
SELECT e.* FROM unnest(%(aggregates)s::uuid[]) AS n (aggregate_id)
CROSS JOIN LATERAL (
    SELECT {columns} FROM events
    WHERE aggregate_id = n.aggregate_id AND tenant = %(tenant)s AND version = 1
    UNION ALL
    (SELECT {columns} FROM events
     WHERE aggregate_id = n.aggregate_id AND tenant = %(tenant)s AND version > 1
       AND position < %(before)s AND topic <> 'task.progressed'
     ORDER BY version DESC LIMIT %(limit)s)
) AS e

-- name: facts_after
-- Of each aggregate the first ones behind a version, by the same index; but for progress, as above.
SELECT e.* FROM unnest(%(aggregates)s::uuid[], %(versions)s::bigint[]) AS n (aggregate_id, above)
CROSS JOIN LATERAL (
    SELECT {columns} FROM events
    WHERE aggregate_id = n.aggregate_id AND tenant = %(tenant)s AND version > n.above
      AND topic <> 'task.progressed'
    ORDER BY version LIMIT %(limit)s
) AS e

-- name: facts_that_name
-- Those that were recorded with one of these causes, by the partial index events_effects. Assignments are left out of
-- it: their cause is an event of their own task. So is that of progress.
SELECT {columns} FROM events
WHERE causation_id = ANY (%(cursors)s::text[]) AND topic <> 'task.assigned'
  AND topic <> 'task.progressed' AND tenant = %(tenant)s
ORDER BY position LIMIT %(limit)s

-- name: births
-- The submissions of the children of these tasks: the children by the board's index on parents, the events by the
-- unique index.
SELECT {columns} FROM events
JOIN (SELECT task_id FROM task_board WHERE parent_id = ANY (%(aggregates)s::uuid[])) AS child
  ON aggregate_id = child.task_id AND version = 1
WHERE tenant = %(tenant)s ORDER BY position LIMIT %(limit)s

-- name: lost_leases
-- The leases that expired behind each position while held by the agent, by the partial index events_lost.
SELECT e.* FROM unnest(%(aggregates)s::uuid[], %(positions)s::bigint[]) AS n (agent_id, after)
CROSS JOIN LATERAL (
    SELECT {columns} FROM events
    WHERE topic = 'task.lease_expired' AND position > n.after AND tenant = %(tenant)s
      AND convert_from(state, 'UTF8')::json ->> 'agent_id' = n.agent_id::text
    ORDER BY position LIMIT %(limit)s
) AS e
