-- Read models: folded from the log, thrown away and rebuilt at will. Each has a twin in which it is rebuilt.

CREATE TABLE checkpoints (
    name text PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE task_board (
    task_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    kind text NOT NULL,
    input bytea,
    requires jsonb NOT NULL,
    priority smallint NOT NULL,
    max_attempts integer NOT NULL,
    timeout_seconds integer NOT NULL,
    not_before timestamptz,
    deadline timestamptz,
    labels jsonb NOT NULL,
    parent_id uuid,
    approval boolean NOT NULL,
    submitted_at timestamptz NOT NULL,
    submitted_by text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    status text NOT NULL,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    progress double precision NOT NULL,
    progress_message text,
    result bytea,
    error_code text,
    error_message text,
    agent_id uuid,
    lease_expires_at timestamptz,
    due_at timestamptz,
    queued_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 80);
CREATE INDEX task_board_tenant_status ON task_board (tenant, status, task_id);
CREATE INDEX task_board_open ON task_board (agent_id) WHERE status IN ('assigned', 'running');
CREATE INDEX task_board_labels ON task_board USING gin (labels jsonb_path_ops);
CREATE TABLE task_board_rebuilt (LIKE task_board INCLUDING ALL);

CREATE TABLE agent_roster (
    agent_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    name text NOT NULL,
    capabilities jsonb NOT NULL,
    slots integer NOT NULL,
    labels jsonb NOT NULL,
    standing text NOT NULL,
    online boolean NOT NULL,
    registered_at timestamptz NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    lost bigint NOT NULL
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX agent_roster_name ON agent_roster (tenant, name);
CREATE TABLE agent_roster_rebuilt (LIKE agent_roster INCLUDING ALL);

CREATE TABLE activity_feed (
    position bigint PRIMARY KEY,
    tenant text NOT NULL,
    at timestamptz NOT NULL,
    subject text NOT NULL,
    topic text NOT NULL,
    text text NOT NULL,
    actor text NOT NULL
);
CREATE INDEX activity_feed_tenant ON activity_feed (tenant, position);
CREATE TABLE activity_feed_rebuilt (LIKE activity_feed INCLUDING ALL);

-- Telemetry, not history: it may be lost in a crash.
CREATE UNLOGGED TABLE vitals (
    agent_id uuid PRIMARY KEY,
    cpu double precision,
    memory double precision,
    queue integer NOT NULL,
    last_heard_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON
    checkpoints, task_board, task_board_rebuilt, agent_roster, agent_roster_rebuilt,
    activity_feed, activity_feed_rebuilt, vitals
TO {application_role};
