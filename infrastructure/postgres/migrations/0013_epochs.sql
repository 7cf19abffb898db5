-- Epochs: a restore puts another store in the place of this one. A session says which epoch it belongs to
-- (musterroll.epoch); one of an epoch that has ended can write nothing. Who says nothing is the owner, at work on a store
-- that nobody else has.

-- Asked once when a session begins, and by everything that writes. Volatile: who waited here for a switch to end must not
-- look with the eyes of before.
CREATE FUNCTION check_epoch() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
BEGIN
    IF nullif(current_setting('musterroll.epoch', true), '')
        <> coalesce((SELECT epoch::text FROM store), 'of no epoch') THEN
        RAISE EXCEPTION 'the epoch of this session has ended: the store was restored' USING ERRCODE = 'MR001';
    END IF;
END $$;

-- As before, but for the look at the epoch, once no other append is under way.
CREATE OR REPLACE FUNCTION append_events(
    p_aggregates uuid[], p_versions bigint[], p_topics text[], p_states bytea[], p_tenants text[], p_actors text[],
    p_commands uuid[], p_correlations uuid[], p_causations text[], p_traceparents text[],
    p_keys uuid[], p_fingerprints bytea[], p_answers bytea[]
) RETURNS TABLE (head bigint, base bigint, recorded timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7311001);
    IF nullif(current_setting('musterroll.epoch', true), '')
        <> coalesce((SELECT epoch::text FROM store), 'of no epoch') THEN
        RAISE EXCEPTION 'the epoch of this session has ended: the store was restored' USING ERRCODE = 'MR001';
    END IF;
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

CREATE OR REPLACE FUNCTION keep_request(p_key uuid, p_fingerprint bytea, p_answer bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
BEGIN
    PERFORM check_epoch();
    INSERT INTO requests (key, fingerprint, base, answer) VALUES (p_key, p_fingerprint, 0, p_answer)
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION check_epoch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION check_epoch TO {application_role};
