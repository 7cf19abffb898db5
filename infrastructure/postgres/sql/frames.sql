-- name: newest
-- By primary keys, backwards. Where a tenant has no part at the newest frames, nothing of it happened since its last;
-- where it has none at all, nothing of it happened up to there.
SELECT coalesce(p.position, f.position), f.position, p.content, p.digest
FROM (
    SELECT position FROM frames WHERE position <= %(at)s AND form = %(form)s ORDER BY position DESC LIMIT 1
) AS f
LEFT JOIN LATERAL (
    SELECT q.position, q.content, q.digest FROM frame_parts q JOIN frames USING (position)
    WHERE q.tenant = %(tenant)s AND q.position <= f.position AND form = %(form)s
    ORDER BY q.position DESC LIMIT 1
) AS p ON true

-- name: last
-- The primary key from its end.
SELECT coalesce(max(position), 0) FROM frames WHERE form = %s

-- name: size
-- The primary key from its end.
SELECT open_tasks FROM frames WHERE form = %s ORDER BY position DESC LIMIT 1

-- name: measure
-- Once its parts are known.
UPDATE frames SET open_tasks = %s WHERE position = %s

-- name: checkpoints
-- How far the two read models are that a frame is made of.
SELECT (SELECT position FROM checkpoints WHERE name = 'task_board'),
       (SELECT position FROM checkpoints WHERE name = 'agent_roster')

-- name: tenants
-- A stretch of the log by primary key.
SELECT DISTINCT tenant FROM events WHERE position > %s AND position <= %s ORDER BY tenant

-- name: counts
-- By index only; of those alone that have ended, since the others are counted one by one.
SELECT tenant, status, count(*) FROM task_board
WHERE tenant = ANY (%s) AND status IN ('completed', 'failed', 'cancelled') GROUP BY tenant, status

-- name: cards
-- By the index on (tenant, status, task_id), as many as have not ended.
SELECT {columns} FROM task_board
WHERE tenant = %s AND status IN ('scheduled', 'queued', 'assigned', 'running', 'awaiting_approval')

-- name: keep
-- Frames that stand there already stay: two processes may have come to the same.
INSERT INTO frames (position, form, live) VALUES (%(position)s, %(form)s, %(live)s) ON CONFLICT DO NOTHING
RETURNING position

-- name: keep_part
-- With the frames that it is a part of.
INSERT INTO frame_parts (tenant, position, digest, content) VALUES (%s, %s, %s, %s)

-- name: mend_part
-- By primary key.
UPDATE frame_parts SET digest = %s, content = %s WHERE tenant = %s AND position = %s

-- name: digests
-- By the index on position.
SELECT tenant, digest FROM frame_parts WHERE position = %s

-- name: gap
-- There are some fifty frames to a million events.
SELECT former FROM (
    SELECT position, lag(position, 1, 0::bigint) OVER (ORDER BY position) AS former FROM frames WHERE form = %(form)s
) AS neighbours
WHERE position - former > %(wider_than)s ORDER BY former LIMIT 1

-- name: unproven
-- By the partial index: what was compared leaves it. Nothing is compared across a gap that is still to be filled.
SELECT f.position, n.position
FROM (
    SELECT position FROM frames WHERE live AND equal IS NULL AND form = %(form)s ORDER BY position
) AS n
CROSS JOIN LATERAL (
    SELECT coalesce(max(position), 0) AS position FROM frames WHERE position < n.position AND form = %(form)s
) AS f
WHERE n.position - f.position <= %(apart_max)s ORDER BY n.position LIMIT 1

-- name: judge
-- By primary key.
UPDATE frames SET equal = %s WHERE position = %s

-- name: drop_parts
-- By the index on position.
DELETE FROM frame_parts WHERE position = %s

-- name: unequal
-- Few, or the alarm is loud already.
SELECT position FROM frames WHERE NOT equal ORDER BY position LIMIT 100

-- name: forget_other_forms
-- The parts go with them.
DELETE FROM frames WHERE form <> %s
