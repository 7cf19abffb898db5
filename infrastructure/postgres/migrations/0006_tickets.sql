-- One-time tickets that were used. Unlogged: a ticket is good for 30 s, and a crash of PostgreSQL may forget it.

CREATE UNLOGGED TABLE spent_tickets (
    ticket_id uuid PRIMARY KEY,
    ends_at timestamptz NOT NULL
);
CREATE INDEX spent_tickets_ends_at ON spent_tickets (ends_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON spent_tickets TO {application_role};
