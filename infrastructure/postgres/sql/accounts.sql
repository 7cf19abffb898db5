-- name: by_id
-- Removed ones too: their tokens must be refused, not be unknown.
SELECT account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
       created_at, revoked_at
FROM accounts WHERE account_id = %s

-- name: by_username
-- By the unique index on the names in use.
SELECT account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
       created_at, revoked_at
FROM accounts WHERE name = %s AND kind = 'user' AND revoked_at IS NULL

-- name: by_agent
-- By the unique index on agent_id.
SELECT account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
       created_at, revoked_at
FROM accounts WHERE agent_id = %s AND kind = 'agent'

-- name: listed
-- Keyset pages by primary key; there are few accounts.
SELECT account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
       created_at, revoked_at
FROM accounts
WHERE kind = %(kind)s AND revoked_at IS NULL
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(after)s::uuid IS NULL OR account_id > %(after)s)
ORDER BY account_id LIMIT %(limit)s

-- name: changed
-- Asked about every second for all who wait; nearly always there is nothing to tell.
SELECT account_id, kind, name, tenant, scopes, agent_id, secret_hash, a.generation, issued_at,
       created_at, revoked_at
FROM unnest(%s::uuid[], %s::integer[]) AS known (account_id, generation)
JOIN accounts a USING (account_id)
WHERE a.generation <> known.generation

-- name: lock_administrators
-- So that of two administrators who remove each other, the second sees that the first is gone.
SELECT account_id FROM accounts
WHERE kind = 'user' AND tenant = 'default' AND 'admin' = ANY (scopes) AND revoked_at IS NULL
ORDER BY account_id FOR UPDATE

-- name: has_administrator
-- Asked at each start.
SELECT EXISTS (
    SELECT FROM accounts
    WHERE kind = 'user' AND tenant = 'default' AND 'admin' = ANY (scopes) AND revoked_at IS NULL)

-- name: lock_names
-- The unique indexes tell Admin from admin; so names are given one after the other. Held to COMMIT.
SELECT pg_advisory_xact_lock(7311003)

-- name: add
-- Nothing when the name is taken, in whatever case: a user's anywhere, a client's in its tenant.
INSERT INTO accounts (account_id, kind, name, tenant, scopes, agent_id, secret_hash, created_at)
SELECT %(account_id)s, %(kind)s, %(name)s, %(tenant)s, %(scopes)s::text[], %(agent_id)s::uuid,
       %(secret_hash)s, %(created_at)s
WHERE NOT EXISTS (
    SELECT FROM accounts
    WHERE kind = %(kind)s AND revoked_at IS NULL AND lower(name) = lower(%(name)s)
      AND (kind = 'user' OR tenant = %(tenant)s))
RETURNING account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
          created_at, revoked_at

-- name: renew
-- The next generation: tokens of the former one are refused.
UPDATE accounts SET secret_hash = %(secret_hash)s, generation = generation + 1
WHERE account_id = %(account_id)s AND revoked_at IS NULL
RETURNING account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
          created_at, revoked_at

-- name: remove
-- The row stays, so that an auditor can tell who it was.
UPDATE accounts SET revoked_at = now(), generation = generation + 1
WHERE account_id = %s AND revoked_at IS NULL
RETURNING account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
          created_at, revoked_at

-- name: issue
-- Positions rise, so of two registrations the later one's secret stays, in whatever order they come.
INSERT INTO accounts (account_id, kind, name, tenant, scopes, agent_id, secret_hash, issued_at, created_at)
VALUES (%(account_id)s, 'agent', %(name)s, %(tenant)s, %(scopes)s, %(agent_id)s, %(secret_hash)s,
        %(issued_at)s, %(created_at)s)
ON CONFLICT (agent_id) WHERE kind = 'agent' DO UPDATE
SET secret_hash = EXCLUDED.secret_hash, issued_at = EXCLUDED.issued_at, revoked_at = NULL,
    generation = accounts.generation + 1
WHERE accounts.issued_at < EXCLUDED.issued_at
RETURNING account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
          created_at, revoked_at

-- name: withdraw
-- A retirement ends the account of the registration before it, never of one that came after.
UPDATE accounts SET revoked_at = now(), generation = generation + 1
WHERE agent_id = %(agent_id)s AND kind = 'agent' AND revoked_at IS NULL AND issued_at < %(position)s
RETURNING account_id, kind, name, tenant, scopes, agent_id, secret_hash, generation, issued_at,
          created_at, revoked_at

-- name: keep_request
-- Waits for another transaction that is keeping the same key; false when it was kept before.
SELECT keep_request(%s, %s, %s)

-- name: request
-- What a kept key stands for.
SELECT fingerprint, answer FROM requests WHERE key = %s
