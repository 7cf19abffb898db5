-- name: story
-- The first event of a task and its newest, by the unique index on (aggregate_id, version): up to a number, and to the
-- one that brings them over a number of bytes; beside each, how many of those there are or one more. Progress decides
-- nothing, and there may be a great deal of it.
SELECT found, aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM (
    SELECT *, count(*) OVER () AS found, row_number() OVER newest AS place,
           sum(length(state)) OVER newest - length(state) AS bytes_before
    FROM (
        SELECT * FROM events
        WHERE aggregate_id = %(task_id)s AND tenant = %(tenant)s AND version = 1
        UNION ALL
        (SELECT * FROM events
         WHERE aggregate_id = %(task_id)s AND tenant = %(tenant)s AND version > 1 AND topic <> 'task.progressed'
         ORDER BY version DESC LIMIT %(limit)s)
    ) AS story
    WINDOW newest AS (ORDER BY version DESC)
) AS weighed
WHERE version = 1 OR place < %(limit)s AND bytes_before < %(bytes)s
ORDER BY version

-- name: names
-- By the unique index, from the first event of each agent: a name never changes.
SELECT aggregate_id, convert_from(state, 'UTF8')::json ->> 'name' FROM events
WHERE aggregate_id = ANY (%(agent_ids)s::uuid[]) AND tenant = %(tenant)s AND version = 1 AND topic = 'agent.registered'

-- name: steps
-- A stretch of the log by primary key; of each assignment the task's kind and when it was last queued, by the unique
-- index. The caller bounds the stretch.
SELECT e.position, e.aggregate_id, e.version, e.topic, e.recorded_at, a.state, a.kind, a.ready_at
FROM events e
LEFT JOIN LATERAL (
    SELECT e.state,
           (SELECT convert_from(f.state, 'UTF8')::json ->> 'kind' FROM events f
            WHERE f.aggregate_id = e.aggregate_id AND f.version = 1) AS kind,
           (SELECT q.recorded_at FROM events q
            WHERE q.aggregate_id = e.aggregate_id AND q.version < e.version AND q.topic = ANY (%(queueing)s)
            ORDER BY q.version DESC LIMIT 1) AS ready_at
) AS a ON e.topic = 'task.assigned'
WHERE e.position > %(after)s AND e.position <= %(until)s AND e.tenant = %(tenant)s AND e.topic = ANY (%(topics)s)
ORDER BY e.position
