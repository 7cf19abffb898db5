-- name: first
-- The primary key read from its beginning.
SELECT position, recorded_at FROM events ORDER BY position LIMIT 1

-- name: at
-- By primary key; positions may have gaps.
SELECT position, recorded_at FROM events WHERE position <= %s ORDER BY position DESC LIMIT 1

-- name: by
-- recorded_at never runs back along the log, and has no index, which every append would pay for: halves by primary
-- key, some 20 steps in a million. What stands at or before `low` was recorded in time, what from `high` on was not.
WITH RECURSIVE halves (low, high) AS (
    SELECT e.position, (SELECT max(position) + 1 FROM events)
    FROM (SELECT position, recorded_at FROM events ORDER BY position LIMIT 1) AS e
    WHERE e.recorded_at <= %(time)s
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= %(time)s THEN m.middle ELSE h.low END,
           CASE WHEN e.recorded_at <= %(time)s THEN h.high ELSE e.position END
    FROM halves h
    CROSS JOIN LATERAL (SELECT h.low + (h.high - h.low) / 2 AS middle) AS m
    CROSS JOIN LATERAL (
        SELECT position, recorded_at FROM events WHERE position <= m.middle ORDER BY position DESC LIMIT 1
    ) AS e
    WHERE h.high - h.low > 1
)
SELECT e.position, e.recorded_at
FROM (SELECT max(low) AS low FROM halves) AS found
CROSS JOIN LATERAL (
    SELECT position, recorded_at FROM events WHERE position <= found.low ORDER BY position DESC LIMIT 1
) AS e
