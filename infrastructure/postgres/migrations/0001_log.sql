-- The log: append-only, in one order, with the outcome of every command.

CREATE TABLE store (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    store_id uuid NOT NULL DEFAULT gen_random_uuid(),
    epoch integer NOT NULL DEFAULT 1
);
INSERT INTO store DEFAULT VALUES;

CREATE SEQUENCE positions AS bigint;

CREATE TABLE events (
    position bigint PRIMARY KEY DEFAULT nextval('positions'),
    aggregate_id uuid NOT NULL,
    version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    tenant text NOT NULL,
    actor text NOT NULL,
    command_id uuid NOT NULL,
    correlation_id uuid NOT NULL,
    causation_id text,
    traceparent text,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT events_aggregate_version UNIQUE (aggregate_id, version)
);

CREATE TABLE commands (
    command_id uuid CONSTRAINT commands_once PRIMARY KEY,
    fingerprint bytea,
    aggregate_id uuid NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    refusal_code text,
    refusal_message text,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE snapshots (
    aggregate_id uuid NOT NULL,
    version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (aggregate_id, version)
);

-- History is never changed: not by the application, not by the owner, not by a replica's apply worker.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER append_only;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON commands
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE commands ENABLE ALWAYS TRIGGER append_only;

-- The one way into the log. The advisory lock is taken before the sequence is read and held to COMMIT, so that
-- commit order is position order and no reader can step over an event. recorded_at never runs back, even when
-- the clock does. One row comes back for each command, in the order given.
CREATE FUNCTION append_events(
    p_command_ids uuid[], p_fingerprints bytea[], p_subjects uuid[], p_versions bigint[],
    p_refusal_codes text[], p_refusal_messages text[],
    p_event_commands uuid[], p_event_aggregates uuid[], p_event_versions bigint[], p_topics text[],
    p_states bytea[], p_tenants text[], p_actors text[], p_correlations uuid[], p_causations text[],
    p_traceparents text[]
) RETURNS TABLE (command_position bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
DECLARE
    v_head bigint;
    v_now timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(7311001);
    SELECT e.position, e.recorded_at INTO v_head, v_now
        FROM events e ORDER BY e.position DESC LIMIT 1;
    v_head := coalesce(v_head, 0);
    v_now := greatest(clock_timestamp(), v_now);
    RETURN QUERY
    WITH written AS (
        INSERT INTO events AS e (aggregate_id, version, topic, state, tenant, actor, command_id,
                                 correlation_id, causation_id, traceparent, recorded_at)
        SELECT n.aggregate_id, n.version, n.topic, n.state, n.tenant, n.actor, n.command_id,
               n.correlation_id, n.causation_id, n.traceparent, v_now
        FROM unnest(p_event_aggregates, p_event_versions, p_topics, p_states, p_tenants, p_actors,
                    p_event_commands, p_correlations, p_causations, p_traceparents)
             WITH ORDINALITY AS n (aggregate_id, version, topic, state, tenant, actor, command_id,
                                   correlation_id, causation_id, traceparent, place)
        ORDER BY n.place
        RETURNING e.command_id, e.position
    ), last AS (
        SELECT w.command_id, max(w.position) AS position FROM written w GROUP BY w.command_id
    ), answered AS (
        INSERT INTO commands AS c
        SELECT n.command_id, n.fingerprint, n.subject, n.version, coalesce(l.position, v_head),
               n.refusal_code, n.refusal_message, v_now
        FROM unnest(p_command_ids, p_fingerprints, p_subjects, p_versions, p_refusal_codes,
                    p_refusal_messages)
             AS n (command_id, fingerprint, subject, version, refusal_code, refusal_message)
        LEFT JOIN last l USING (command_id)
        RETURNING c.command_id, c.position
    )
    SELECT a.position
    FROM unnest(p_command_ids) WITH ORDINALITY AS n (command_id, place)
    JOIN answered a USING (command_id)
    ORDER BY n.place;
END $$;

-- The fate of commands whose connection was lost: the lock waits for an append that is still under way.
CREATE FUNCTION command_outcomes(p_command_ids uuid[]) RETURNS SETOF commands
LANGUAGE plpgsql SECURITY DEFINER SET search_path = musterroll, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7311001);
    RETURN QUERY SELECT c.* FROM commands c WHERE c.command_id = ANY (p_command_ids);
END $$;

REVOKE ALL ON FUNCTION append_events, command_outcomes FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_events, command_outcomes TO {application_role};
GRANT USAGE ON SCHEMA musterroll TO {application_role};
GRANT SELECT ON store, events, commands, snapshots TO {application_role};
GRANT INSERT, DELETE ON snapshots TO {application_role};
