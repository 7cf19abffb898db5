-- name: owners_of_ids
-- By unique indexes: whose an aggregate, an account or a webhook is.
SELECT aggregate_id, tenant FROM events WHERE aggregate_id = ANY (%(ids)s::uuid[]) AND version = 1
UNION ALL SELECT account_id, tenant FROM accounts WHERE account_id = ANY (%(ids)s::uuid[])
UNION ALL SELECT webhook_id, tenant FROM webhooks WHERE webhook_id = ANY (%(ids)s::uuid[])

-- name: owners_of_positions
-- By primary key.
SELECT position, tenant FROM events WHERE position = ANY (%s::bigint[])

-- name: owners_of_names
-- By the unique index on the names in use.
SELECT name, tenant FROM accounts WHERE name = ANY (%s::text[]) AND kind = 'user' AND revoked_at IS NULL

-- name: newest
-- Keyset pages from the end of the partial index on (tenant, position), or on (tenant, actor, position). The condition
-- on the topic is that of the indexes, word for word, or they are not used.
SELECT aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
       causation_id, traceparent, position, recorded_at
FROM events
WHERE topic LIKE 'audit.%%' AND tenant = %(tenant)s
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(topic)s::text IS NULL OR topic = %(topic)s)
  AND position > %(after)s AND (%(before)s::bigint IS NULL OR position < %(before)s)
ORDER BY position DESC LIMIT %(limit)s
