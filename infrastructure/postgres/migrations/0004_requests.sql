-- A request that can be repeated is one row, whatever it holds: its key, and what it was answered.

CREATE TABLE requests (
    key uuid CONSTRAINT requests_once PRIMARY KEY,
    fingerprint bytea NOT NULL,
    base bigint NOT NULL,
    answer bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON requests
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE requests ENABLE ALWAYS TRIGGER append_only;

DROP FUNCTION append_events, command_outcomes;
DROP TABLE commands, request_keys;

-- The one way into the log. The advisory lock is taken before the sequence is read and held to COMMIT, so that
-- commit order is position order and no reader can step over an event, and so that the positions of one append have
-- no gaps. recorded_at never runs back, even when the clock does.
CREATE FUNCTION append_events(
    p_aggregates uuid[], p_versions bigint[], p_topics text[], p_states bytea[], p_tenants text[], p_actors text[],
    p_commands uuid[], p_correlations uuid[], p_causations text[], p_traceparents text[],
    p_keys uuid[], p_fingerprints bytea[], p_answers bytea[]
) RETURNS TABLE (head bigint, base bigint, recorded timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7311001);
    SELECT e.position, e.recorded_at INTO head, recorded FROM events e ORDER BY e.position DESC LIMIT 1;
    head := coalesce(head, 0);
    base := head;
    recorded := greatest(clock_timestamp(), recorded);
    IF cardinality(p_aggregates) > 0 THEN
        INSERT INTO events (aggregate_id, version, topic, state, tenant, actor, command_id, correlation_id,
                            causation_id, traceparent, recorded_at)
        SELECT n.*, recorded
        FROM unnest(p_aggregates, p_versions, p_topics, p_states, p_tenants, p_actors, p_commands, p_correlations,
                    p_causations, p_traceparents) AS n;
        base := currval('positions') - cardinality(p_aggregates);
    END IF;
    IF cardinality(p_keys) > 0 THEN
        INSERT INTO requests (key, fingerprint, base, answer, recorded_at)
        SELECT n.key, n.fingerprint, append_events.base, n.answer, recorded
        FROM unnest(p_keys, p_fingerprints, p_answers) AS n (key, fingerprint, answer);
    END IF;
    RETURN NEXT;
END $$;

-- What became of an append whose connection was lost: the lock waits for one that is still under way. All its events
-- stand there side by side, since another node may have written the same request, and so some of them; where it had
-- none, its first request tells.
CREATE FUNCTION find_append(p_aggregates uuid[], p_versions bigint[], p_commands uuid[], p_key uuid)
RETURNS TABLE (base bigint, recorded timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7311001);
    RETURN QUERY
    SELECT min(e.position) - 1, min(e.recorded_at)
    FROM unnest(p_aggregates, p_versions, p_commands) AS n (aggregate_id, version, command_id)
    JOIN events e USING (aggregate_id, version, command_id)
    HAVING count(*) = cardinality(p_aggregates) AND max(e.position) - min(e.position) + 1 = count(*)
    UNION ALL
    SELECT r.base, r.recorded_at FROM requests r WHERE r.key = p_key AND cardinality(p_aggregates) = 0;
END $$;

-- For requests that add no event. False when the key is kept already; waits for another that is being kept.
CREATE FUNCTION keep_request(p_key uuid, p_fingerprint bytea, p_answer bytea) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
    WITH kept AS (
        INSERT INTO requests (key, fingerprint, base, answer) VALUES (p_key, p_fingerprint, 0, p_answer)
        ON CONFLICT DO NOTHING RETURNING true
    )
    SELECT EXISTS (SELECT FROM kept)
$$;

REVOKE ALL ON FUNCTION append_events, find_append, keep_request FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_events, find_append, keep_request TO {application_role};
GRANT SELECT ON requests TO {application_role};

-- Every change of a task's status writes into every index of its row; most tasks have no labels.
DROP INDEX task_board_labels, task_board_rebuilt_labels_idx;
CREATE INDEX task_board_labels ON task_board USING gin (labels jsonb_path_ops) WHERE labels <> '{}';
CREATE INDEX task_board_rebuilt_labels_idx ON task_board_rebuilt USING gin (labels jsonb_path_ops) WHERE labels <> '{}';
