-- name: checkpoint
-- How far a model has come.
SELECT position FROM checkpoints WHERE name = %s

-- name: advance
-- Taken first in the transaction: its row lock keeps a second projector of the same model out.
INSERT INTO checkpoints (name, position) VALUES (%s, %s)
ON CONFLICT (name) DO UPDATE SET position = excluded.position
    WHERE checkpoints.position <= excluded.position

-- name: forget
-- A model that starts again from 0.
DELETE FROM checkpoints WHERE name = %s

-- name: load
-- By primary key, all keys of a page at once.
SELECT {columns} FROM {table} WHERE {key} = ANY (%s::{key_type}[])

-- name: put
-- One statement a page, one array a column.
INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays})
ON CONFLICT ({key}) DO UPDATE SET {changes}

-- name: clear
-- The twin belongs to nobody else while a rebuild runs.
TRUNCATE {table}

-- name: delete
-- Not TRUNCATE: readers go on seeing the former rows until the commit.
DELETE FROM {table}

-- name: adopt
-- The rebuilt rows in place of the former ones.
INSERT INTO {table} SELECT * FROM {twin}

-- name: adopt_checkpoint
-- Rows and checkpoint move together.
UPDATE checkpoints SET position = (SELECT t.position FROM checkpoints t WHERE t.name = %s)
WHERE name = %s

-- name: digest
-- Every column of every row, in key order.
SELECT encode(sha256(coalesce(string_agg(t::text, E'\n' ORDER BY t.{key}), '')::bytea), 'hex')
FROM {table} t
