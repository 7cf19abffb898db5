-- name: next_blocks
-- The events behind the last seal, by blocks, hashed where they lie: they are not sent, and nobody's interpreter is held up. What is
-- hashed is a zero and the canonical bytes (infrastructure/README.md, "Seals"), which is what COPY sends of a row in
-- binary, columns in this order. The state stands last, so that a large one is copied once; what else is concatenated is
-- small. Send functions and convert_to depend on no setting of the session.
SELECT string_agg(leaf, ''::bytea ORDER BY position), max(position), max(recorded_at), clock_timestamp()
FROM (
    SELECT position, recorded_at, (row_number() OVER (ORDER BY position) - 1) / %(events)s AS block, sha256(
        '\x000c00000008'::bytea || int8send(position)
        || '\x00000010' || uuid_send(aggregate_id)
        || '\x00000008' || int8send(version)
        || int4send(octet_length(convert_to(topic, 'UTF8'))) || convert_to(topic, 'UTF8')
        || int4send(octet_length(convert_to(tenant, 'UTF8'))) || convert_to(tenant, 'UTF8')
        || int4send(octet_length(convert_to(actor, 'UTF8'))) || convert_to(actor, 'UTF8')
        || '\x00000010' || uuid_send(command_id)
        || '\x00000010' || uuid_send(correlation_id)
        || coalesce(int4send(octet_length(convert_to(causation_id, 'UTF8'))) || convert_to(causation_id, 'UTF8'), '\xffffffff')
        || coalesce(int4send(octet_length(convert_to(traceparent, 'UTF8'))) || convert_to(traceparent, 'UTF8'), '\xffffffff')
        || '\x00000008' || timestamptz_send(recorded_at)
        || int4send(octet_length(state)) || state
    ) AS leaf
    FROM musterroll.events WHERE position > %(after)s ORDER BY position LIMIT %(events)s * %(blocks)s
) AS leaves
GROUP BY block ORDER BY block

-- name: rows
-- The same bytes, as COPY sends them, of a stretch of the log: by primary key. Its ENCODING is not for binary, so texts are
-- converted here.
COPY (
    SELECT position, aggregate_id, version, convert_to(topic, 'UTF8'), convert_to(tenant, 'UTF8'),
           convert_to(actor, 'UTF8'), command_id, correlation_id, convert_to(causation_id, 'UTF8'),
           convert_to(traceparent, 'UTF8'), recorded_at, state
    FROM musterroll.events WHERE position > {after} AND position <= {until} ORDER BY position
) TO STDOUT (FORMAT binary)

-- name: event
-- One event for a proof: what seals it, and how many of its block stand before it.
SELECT sealed.former_size + (SELECT count(*) FROM musterroll.events b
                             WHERE b.position > coalesce(former.position, 0) AND b.position < e.position)
FROM musterroll.events e
LEFT JOIN LATERAL (
    SELECT former_size FROM musterroll.seals WHERE position >= e.position ORDER BY position LIMIT 1
) AS sealed ON true
LEFT JOIN musterroll.seals AS former ON former.size = sealed.former_size
WHERE e.position = %(position)s AND e.tenant = %(tenant)s

-- name: heads_after
-- By primary key.
SELECT {head} FROM musterroll.seals WHERE size > %(after)s ORDER BY size LIMIT %(limit)s

-- name: heads_before
-- The newest first.
SELECT {head} FROM musterroll.seals
WHERE %(before)s::bigint IS NULL OR size < %(before)s ORDER BY size DESC LIMIT %(limit)s

-- name: head
-- By primary key.
SELECT {head} FROM musterroll.seals WHERE size = %(size)s

-- name: seals_after
-- Heads with the leaf hashes of their blocks.
SELECT {head}, former_size, leaves FROM musterroll.seals WHERE size > %(after)s ORDER BY size LIMIT %(limit)s

-- name: leaves
-- The leaf hashes of a stretch of the tree, as slices of the blocks that it lies in.
SELECT greatest(former_size, %(start)s),
       substr(leaves, (greatest(%(start)s - former_size, 0) * 32 + 1)::integer,
              ((least(size, %(end)s) - greatest(former_size, %(start)s)) * 32)::integer)
FROM musterroll.seals WHERE size > %(start)s AND former_size < %(end)s ORDER BY size

-- name: nodes
-- By primary key.
SELECT n.height, n.size, n.hash
FROM unnest(%(sizes)s::bigint[], %(heights)s::smallint[]) AS wanted (size, height)
JOIN musterroll.seal_nodes n USING (size, height)

-- name: nodes_between
-- Those that were completed by a stretch of sizes.
SELECT height, size, hash FROM musterroll.seal_nodes WHERE size > %(after)s AND size <= %(until)s

-- name: keep
-- Seals and their nodes, in one commit.
WITH sealed AS (
    INSERT INTO musterroll.seals (log_id, epoch, size, position, root, recorded_at, sealed_at, previous, key_id, signature,
                                  former_size, leaves)
    SELECT * FROM unnest(%(log)s::uuid[], %(epoch)s::integer[], %(size)s::bigint[], %(position)s::bigint[],
                         %(root)s::bytea[], %(recorded_at)s::timestamptz[], %(time)s::timestamptz[],
                         %(previous)s::bytea[], %(key_id)s::text[], %(signature)s::bytea[],
                         %(former_size)s::bigint[], %(leaves)s::bytea[])
)
INSERT INTO musterroll.seal_nodes (size, height, hash)
SELECT * FROM unnest(%(sizes)s::bigint[], %(heights)s::smallint[], %(hashes)s::bytea[])

-- name: keep_key
-- Once for each key.
INSERT INTO musterroll.seal_keys (key_id, public_key) VALUES (%(key_id)s, %(public_key)s) ON CONFLICT DO NOTHING

-- name: keys
-- A handful.
SELECT key_id, public_key, added_at FROM musterroll.seal_keys ORDER BY added_at, key_id

-- name: log_id
-- Which log it is.
SELECT store_id FROM musterroll.store

-- name: last_position
-- Where the log ends.
SELECT coalesce(max(position), 0) FROM musterroll.events

-- name: size
-- How many events are sealed.
SELECT coalesce(max(size), 0) FROM musterroll.seals

-- name: size_before
-- How many were sealed when an epoch began.
SELECT coalesce(max(size), 0) FROM musterroll.seals WHERE epoch < %(epoch)s

-- name: restorations
-- What began the epochs of the log, each with how many events stand before it.
SELECT r.state, (SELECT count(*) FROM musterroll.events b WHERE b.position < r.position)
FROM musterroll.events r WHERE r.topic = 'store.restored' ORDER BY r.position

-- name: read_only
-- For whoever verifies: nothing of theirs is found before what PostgreSQL brings, and nothing can be written.
SET search_path = pg_catalog; SET default_transaction_read_only = on; SET statement_timeout = 0
