-- Accounts and the keys of requests that are not in the log.

CREATE TABLE accounts (
    account_id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('user', 'client', 'agent')),
    name text NOT NULL,
    tenant text NOT NULL,
    scopes text[] NOT NULL,
    agent_id uuid CHECK ((kind = 'agent') = (agent_id IS NOT NULL)),
    secret_hash text NOT NULL,
    generation integer NOT NULL DEFAULT 1,
    issued_at bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- People sign in by name alone, whatever their tenant; a removed name may be given again.
CREATE UNIQUE INDEX accounts_username ON accounts (name) WHERE kind = 'user' AND revoked_at IS NULL;
CREATE UNIQUE INDEX accounts_client_name ON accounts (tenant, name)
    WHERE kind = 'client' AND revoked_at IS NULL;
-- An agent keeps one account for ever, withdrawn while it is retired.
CREATE UNIQUE INDEX accounts_agent ON accounts (agent_id) WHERE kind = 'agent';

CREATE TABLE request_keys (
    command_id uuid PRIMARY KEY,
    fingerprint bytea,
    account_id uuid,
    kept_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, UPDATE ON accounts TO {application_role};
GRANT SELECT, INSERT ON request_keys TO {application_role};
