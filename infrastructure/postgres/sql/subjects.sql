-- name: find
-- By primary key.
SELECT subject_id, wrapped, erased_at FROM subject_keys WHERE subject_id = ANY (%s::uuid[])

-- name: add
-- One that is there stays, erased or not.
INSERT INTO subject_keys (subject_id, tenant, wrapped)
SELECT n.subject_id, %(tenant)s, n.wrapped FROM unnest(%(ids)s::uuid[], %(wrapped)s::bytea[]) AS n (subject_id, wrapped)
ORDER BY n.subject_id
ON CONFLICT DO NOTHING

-- name: destroy
-- Also of those that are not there: an older database may not know of them yet. In the order of their ids, so that two
-- who destroy the same wait for each other.
INSERT INTO subject_keys AS k (subject_id, tenant, erased_at, erased_by, destroyed_at)
SELECT n.subject_id, n.tenant, n.erased_at, n.erased_by, clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(tenants)s::text[], %(times)s::timestamptz[], %(actors)s::text[])
    AS n (subject_id, tenant, erased_at, erased_by)
ORDER BY n.subject_id
ON CONFLICT (subject_id) DO UPDATE SET wrapped = NULL, erased_at = excluded.erased_at, erased_by = excluded.erased_by,
    destroyed_at = excluded.destroyed_at
WHERE k.erased_at IS NULL

-- name: erased
-- All, or those that were destroyed lately: when they were erased first may be long ago, as in another database.
SELECT subject_id, tenant, erased_at, erased_by FROM subject_keys
WHERE destroyed_at IS NOT NULL AND destroyed_at >= coalesce(%(since)s::timestamptz, '-infinity') ORDER BY destroyed_at

-- name: unrecorded
-- Whose key is gone, and the log does not tell.
SELECT subject_id, tenant, erased_at, erased_by FROM subject_keys AS k
WHERE destroyed_at IS NOT NULL AND NOT EXISTS (SELECT FROM events WHERE aggregate_id = k.subject_id)
ORDER BY subject_id LIMIT %(limit)s
