-- Webhooks, and the events of them that wait or were given up. Secrets are sealed: the key is not in the database.

CREATE TABLE webhooks (
    webhook_id uuid PRIMARY KEY,
    tenant text NOT NULL,
    url text NOT NULL,
    channels text[] NOT NULL,
    types text[] NOT NULL,
    labels jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'on', 'paused', 'gone')),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    secret bytea NOT NULL,
    former_secret bytea,
    former_until timestamptz CHECK ((former_until IS NULL) = (former_secret IS NULL)),
    epoch integer NOT NULL,
    position bigint NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    failed_at timestamptz,
    failing_since timestamptz,
    failure text
);
CREATE INDEX webhooks_tenant ON webhooks (tenant, webhook_id);

-- An event that could not be delivered at once, and those of its aggregate that wait behind it. The event itself
-- stands in the log.
CREATE TABLE webhook_letters (
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    dead boolean NOT NULL,
    position bigint NOT NULL,
    aggregate_id uuid NOT NULL,
    attempts integer NOT NULL,
    due_at timestamptz NOT NULL,
    failure text,
    failed_at timestamptz,
    PRIMARY KEY (webhook_id, position)
);
CREATE INDEX webhook_letters_dead ON webhook_letters (webhook_id, dead, position);

GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_letters TO {application_role};
