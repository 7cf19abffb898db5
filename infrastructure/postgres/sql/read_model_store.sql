-- name: checkpoint
-- How far a model has come.
SELECT position FROM checkpoints WHERE name = %s

-- name: advance
-- Taken first in the transaction: its row lock makes a second projector of the same model wait, and then find
-- no row, because the model has moved. A page must follow on the one before, or its events would be folded twice.
-- Its commit is not waited for: after a crash the model goes on from the checkpoint that came with its rows.
WITH moved AS (
    UPDATE checkpoints SET position = %(to)s WHERE name = %(name)s AND position = %(after)s RETURNING name
), begun AS (
    INSERT INTO checkpoints (name, position) SELECT %(name)s, %(to)s WHERE %(after)s = 0
    ON CONFLICT DO NOTHING RETURNING name
)
SELECT name, set_config('synchronous_commit', 'off', true) FROM (SELECT * FROM moved UNION SELECT * FROM begun) AS one

-- name: forget
-- A model that starts again from 0.
DELETE FROM checkpoints WHERE name = %s

-- name: load
-- By primary key, all keys of a page at once.
SELECT {columns} FROM {table} WHERE {key} = ANY (%s)

-- name: insert
-- One statement a page, one array a column.
INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays})

-- name: update
-- Of what may change alone: a row's input may be large, and stays as it is.
UPDATE {table} AS t SET {changes} FROM unnest({arrays}) AS n ({columns}) WHERE t.{key} = n.{key}

-- name: clear
-- The twin belongs to nobody else while a rebuild runs.
TRUNCATE {table}

-- name: begin
-- So that there is a row to lock.
INSERT INTO checkpoints (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING

-- name: hold
-- Keeps the projectors of both models out, as each of their pages begins with this lock.
SELECT name, position FROM checkpoints WHERE name IN (%(name)s, %(twin)s) ORDER BY name FOR UPDATE

-- name: delete
-- Not TRUNCATE: readers go on seeing the former rows until the commit.
DELETE FROM {table}

-- name: adopt
-- The rebuilt rows in place of the former ones.
INSERT INTO {table} SELECT * FROM {twin}

-- name: adopt_checkpoint
-- Rows and checkpoint move together.
UPDATE checkpoints SET position = %s WHERE name = %s

-- name: digest
-- Every column of every row, in key order. A digest of digests, since no text may be longer than 1 GB.
SELECT encode(sha256(coalesce(string_agg(sha256(convert_to(t::text, 'UTF8')), '' ORDER BY t.{key}), '')), 'hex')
FROM {table} t
