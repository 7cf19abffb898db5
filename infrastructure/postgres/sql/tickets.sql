-- name: spend
-- One row when it is spent for the first time. Each clears away up to two that ended long ago, whatever the clocks of
-- the machines that made and took them; so the table holds no more than a few minutes' worth, and nobody cleans up.
WITH old AS (
    DELETE FROM spent_tickets WHERE ticket_id IN (
        SELECT ticket_id FROM spent_tickets WHERE ends_at < now() - interval '10 minutes'
        ORDER BY ends_at LIMIT 2 FOR UPDATE SKIP LOCKED)
)
INSERT INTO spent_tickets (ticket_id, ends_at) VALUES (%s, to_timestamp(%s))
ON CONFLICT DO NOTHING RETURNING true
