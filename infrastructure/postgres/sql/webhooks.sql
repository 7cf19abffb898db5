-- name: lock_tenant
-- So that two who add at once do not both find the last place free. Held to COMMIT.
SELECT pg_advisory_xact_lock(7311004, hashtext(%s))

-- name: count
-- By the index on (tenant, webhook_id).
SELECT count(*) FROM webhooks WHERE tenant = %s

-- name: add
-- It waits until somebody allows it.
INSERT INTO webhooks (webhook_id, tenant, url, channels, types, labels, state, created_by, created_at, secret, epoch,
                      position)
VALUES (%(webhook_id)s, %(tenant)s, %(url)s, %(channels)s, %(types)s, %(labels)s, %(state)s, %(created_by)s,
        %(created_at)s, %(secret)s, %(epoch)s, %(position)s)

-- name: find
-- With what its letters and the log say of it.
SELECT webhook_id, tenant, url, channels, types, labels, state, created_by, created_at, secret, former_secret,
       former_until, epoch, position, revision, delivered_at, failed_at, failing_since, failure,
       (SELECT count(*) FROM webhook_letters l WHERE l.webhook_id = w.webhook_id AND NOT dead),
       (SELECT count(*) FROM webhook_letters l WHERE l.webhook_id = w.webhook_id AND dead),
       coalesce((SELECT e.position FROM events e ORDER BY e.position DESC LIMIT 1), 0)
FROM webhooks w WHERE tenant = %(tenant)s AND webhook_id = %(webhook_id)s

-- name: listed
-- Keyset pages by the index on (tenant, webhook_id); a tenant has few.
SELECT webhook_id, tenant, url, channels, types, labels, state, created_by, created_at, secret, former_secret,
       former_until, epoch, position, revision, delivered_at, failed_at, failing_since, failure,
       (SELECT count(*) FROM webhook_letters l WHERE l.webhook_id = w.webhook_id AND NOT dead),
       (SELECT count(*) FROM webhook_letters l WHERE l.webhook_id = w.webhook_id AND dead),
       coalesce((SELECT e.position FROM events e ORDER BY e.position DESC LIMIT 1), 0)
FROM webhooks w
WHERE tenant = %(tenant)s AND (%(after)s::uuid IS NULL OR webhook_id > %(after)s)
ORDER BY webhook_id LIMIT %(limit)s

-- name: lock
-- What is changed in more than one statement is changed by one at a time.
SELECT epoch FROM webhooks WHERE tenant = %(tenant)s AND webhook_id = %(webhook_id)s FOR UPDATE

-- name: forget_letters
-- Those of a log that was replaced.
DELETE FROM webhook_letters WHERE webhook_id = %(webhook_id)s

-- name: begin_anew
-- Where the log ends now.
UPDATE webhooks
SET epoch = %(epoch)s, position = coalesce((SELECT e.position FROM events e ORDER BY e.position DESC LIMIT 1), 0)
WHERE webhook_id = %(webhook_id)s

-- name: set_state
-- A webhook that is allowed has not failed yet.
UPDATE webhooks
SET state = %(state)s, revision = revision + 1,
    failing_since = CASE WHEN %(state)s = 'on' THEN NULL ELSE failing_since END
WHERE webhook_id = %(webhook_id)s

-- name: renew
-- Of three secrets the oldest is good no longer, whenever it was renewed.
UPDATE webhooks
SET former_secret = CASE WHEN %(former_until)s::timestamptz IS NULL THEN NULL ELSE secret END,
    former_until = %(former_until)s, secret = %(secret)s, revision = revision + 1
WHERE webhook_id = %(webhook_id)s

-- name: remove
-- Its letters go with it.
DELETE FROM webhooks WHERE tenant = %(tenant)s AND webhook_id = %(webhook_id)s

-- name: dead_letters
-- Keyset pages by the index on (webhook_id, dead, position); the events by their primary key.
SELECT l.position, l.aggregate_id, l.attempts, l.due_at, l.dead, l.failure, l.failed_at, e.topic
FROM webhook_letters l LEFT JOIN events e USING (position)
WHERE l.webhook_id = %(webhook_id)s AND l.dead AND l.position > %(after)s
ORDER BY l.position LIMIT %(limit)s

-- name: retry
-- As if they had never been tried.
UPDATE webhook_letters SET dead = false, attempts = 0, due_at = now()
WHERE webhook_id = %(webhook_id)s AND dead
  AND (%(positions)s::bigint[] IS NULL OR position = ANY (%(positions)s))

-- name: revise
-- Whoever delivers looks at it again.
UPDATE webhooks SET revision = revision + 1 WHERE webhook_id = %(webhook_id)s

-- name: keep_request
-- Waits for another transaction that is keeping the same key; false when it was kept before.
SELECT keep_request(%s, %s, %s)

-- name: request
-- What a kept key stands for.
SELECT fingerprint, answer FROM requests WHERE key = %s

-- name: revisions
-- Asked every second by the process that delivers.
SELECT webhook_id, revision FROM webhooks WHERE state = 'on'

-- name: load
-- One that is on.
SELECT webhook_id, tenant, url, channels, types, labels, state, created_by, created_at, secret, former_secret,
       former_until, epoch, position, revision, delivered_at, failed_at, failing_since, failure
FROM webhooks WHERE webhook_id = %s AND state = 'on'

-- name: letters
-- The dead ones beyond its position too: they must not be read from the log again.
SELECT l.position, l.aggregate_id, l.attempts, l.due_at, l.dead, l.failure, l.failed_at
FROM webhook_letters l JOIN webhooks w USING (webhook_id)
WHERE l.webhook_id = %s AND (NOT l.dead OR l.position > w.position)
ORDER BY l.position

-- name: dead_count
-- By the index on (webhook_id, dead, position).
SELECT count(*) FROM webhook_letters WHERE webhook_id = %s AND dead

-- name: quickly
-- A crash of PostgreSQL may forget the last moments: what was delivered then is delivered again.
SET LOCAL synchronous_commit = off

-- name: keep_places
-- Never back: a process that led before may come late.
UPDATE webhooks w
SET position = greatest(w.position, n.position), delivered_at = n.delivered_at, failed_at = n.failed_at,
    failing_since = n.failing_since, failure = n.failure
FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[])
     AS n (webhook_id, position, delivered_at, failed_at, failing_since, failure)
WHERE w.webhook_id = n.webhook_id

-- name: keep_letters
-- Of webhooks that are still there; the lock keeps them there until COMMIT.
INSERT INTO webhook_letters (webhook_id, position, aggregate_id, attempts, due_at, dead, failure, failed_at)
SELECT n.webhook_id, n.position, n.aggregate_id, n.attempts, n.due_at, n.dead, n.failure, n.failed_at
FROM unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::integer[], %s::timestamptz[], %s::boolean[], %s::text[],
            %s::timestamptz[])
     AS n (webhook_id, position, aggregate_id, attempts, due_at, dead, failure, failed_at)
JOIN webhooks w ON w.webhook_id = n.webhook_id
FOR KEY SHARE OF w
ON CONFLICT (webhook_id, position) DO UPDATE
SET attempts = EXCLUDED.attempts, due_at = EXCLUDED.due_at, dead = EXCLUDED.dead, failure = EXCLUDED.failure,
    failed_at = EXCLUDED.failed_at

-- name: settle_letters
-- They were delivered.
DELETE FROM webhook_letters l USING unnest(%s::uuid[], %s::bigint[]) AS n (webhook_id, position)
WHERE l.webhook_id = n.webhook_id AND l.position = n.position

-- name: halt
-- Unless people have stopped it meanwhile.
UPDATE webhooks
SET state = %(state)s, revision = revision + 1, failure = %(failure)s, failed_at = %(failed_at)s,
    failing_since = coalesce(failing_since, %(failed_at)s)
WHERE webhook_id = %(webhook_id)s AND state = 'on'
