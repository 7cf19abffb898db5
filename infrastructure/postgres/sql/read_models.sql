-- name: task
-- By primary key; the tenant decides whether it may be known.
SELECT {columns} FROM task_board WHERE task_id = %(task_id)s AND tenant = %(tenant)s

-- name: task_states
-- By primary key, for all who ask at the same moment; whose it is, decides whether they may know.
SELECT task_id, tenant, requires, version, position, status, attempt, failures, progress, result,
       error_code, error_message, agent_id
FROM task_board WHERE task_id = ANY (%s)

-- name: task_tenants
-- By primary key, for all who ask at the same moment.
SELECT task_id, tenant FROM task_board WHERE task_id = ANY (%s)

-- name: agent_tenants
-- The same of agents.
SELECT agent_id, tenant FROM agent_roster WHERE agent_id = ANY (%s)

-- name: tasks
-- Keyset pages by (tenant, status, task_id), or by primary key where no status is asked for; by the index on labels
-- where these are few. Planned for each call, since what is not asked for has to drop out.
SELECT {columns} FROM task_board
WHERE tenant = %(tenant)s
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(agent_id)s::uuid IS NULL OR agent_id = %(agent_id)s)
  AND (%(labels)s::jsonb = '{{}}' OR (labels <> '{{}}' AND labels @> %(labels)s::jsonb))
  AND (%(since)s::timestamptz IS NULL OR submitted_at >= %(since)s)
  AND (%(before)s::uuid IS NULL OR task_id < %(before)s)
ORDER BY task_id DESC LIMIT %(limit)s

-- name: task_counts
-- By index only; a count of what is kept.
SELECT status, count(*) FROM task_board WHERE tenant = %s GROUP BY status

-- name: roster
-- Every agent of a tenant; there are few.
SELECT {columns} FROM agent_roster WHERE tenant = %s

-- name: agents
-- The roster with the last reading, and the open attempts as the board counts them.
SELECT {columns},
       (SELECT count(*) FROM task_board b
        WHERE b.agent_id = agent_roster.agent_id AND b.status IN ('assigned', 'running')) AS running,
       v.cpu, v.memory, coalesce(v.queue, 0), v.last_heard_at
FROM agent_roster LEFT JOIN vitals v USING (agent_id)
WHERE tenant = %(tenant)s
  AND (%(agent_id)s::uuid IS NULL OR agent_id = %(agent_id)s)
  AND (%(after)s::text IS NULL OR name > %(after)s)
ORDER BY name LIMIT %(limit)s

-- name: fleet
-- All agents of a tenant in one row: there may be thousands, and it is asked every second. Their states are as
-- application.queries.AgentStatus.state has them.
WITH fleet AS (
    SELECT CASE WHEN standing <> 'active' THEN standing
                WHEN online THEN 'available'
                WHEN v.agent_id IS NULL THEN 'registered'
                ELSE 'offline' END AS state,
           slots,
           (SELECT count(*) FROM task_board b
            WHERE b.agent_id = agent_roster.agent_id AND b.status IN ('assigned', 'running')) AS running
    FROM agent_roster LEFT JOIN vitals v USING (agent_id)
    WHERE tenant = %s AND standing <> 'retired'
)
SELECT count(*) FILTER (WHERE state = 'registered') AS registered,
       count(*) FILTER (WHERE state = 'available') AS available,
       count(*) FILTER (WHERE state = 'offline') AS offline,
       count(*) FILTER (WHERE state = 'draining') AS draining,
       count(*) FILTER (WHERE state = 'available' AND running >= slots) AS busy,
       coalesce(sum(slots) FILTER (WHERE state = 'available'), 0)::bigint AS slots,
       coalesce(sum(running), 0)::bigint AS running
FROM fleet

-- name: activity
-- Keyset pages by (tenant, position), read from the newest.
SELECT {columns} FROM activity_feed
WHERE tenant = %(tenant)s AND (%(before)s::bigint IS NULL OR position < %(before)s)
ORDER BY position DESC LIMIT %(limit)s

-- name: events
-- Keyset pages by primary key; one aggregate's by its unique index.
SELECT position, aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, recorded_at
FROM events
WHERE position > %(after)s
  AND (%(until)s::bigint IS NULL OR position <= %(until)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(topic)s::text IS NULL OR topic = %(topic)s)
  AND (%(aggregate_id)s::uuid IS NULL OR aggregate_id = %(aggregate_id)s)
ORDER BY position LIMIT %(limit)s

-- name: open_tasks
-- What a dispatcher has to know when it begins: every task that has not ended, with the board's checkpoint; in log
-- order, which settles ties of rank as they were settled before.
SELECT task_id, tenant, requires, priority, timeout_seconds, not_before, deadline, status, version,
       position, attempt, agent_id, queued_at, due_at, started_at
FROM task_board WHERE status NOT IN ('completed', 'failed', 'cancelled') ORDER BY position

-- name: known_agents
-- The whole roll: it has as many lines as there were ever names.
SELECT agent_id, tenant, capabilities, slots, standing, online, version FROM agent_roster

-- name: inputs
-- By the unique index on (aggregate_id, version), all tasks of a lease answer at once.
SELECT aggregate_id, (convert_from(state, 'UTF8')::json -> 'input')::text
FROM events WHERE aggregate_id = ANY (%s::uuid[]) AND version = 1

-- name: put_vitals
-- The newest reading of each agent.
INSERT INTO vitals (agent_id, cpu, memory, queue, last_heard_at)
SELECT * FROM unnest(%s::uuid[], %s::float8[], %s::float8[], %s::int[], %s::timestamptz[])
ON CONFLICT (agent_id) DO UPDATE SET cpu = excluded.cpu, memory = excluded.memory,
    queue = excluded.queue, last_heard_at = excluded.last_heard_at
