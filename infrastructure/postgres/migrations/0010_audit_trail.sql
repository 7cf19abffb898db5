-- without a transaction
-- The audit trail is read newest first, of a tenant and perhaps of one actor. Its entries are few among the others, and
-- only they are in these indexes.

CREATE INDEX CONCURRENTLY IF NOT EXISTS events_audit ON events (tenant, position) WHERE topic LIKE 'audit.%';
CREATE INDEX CONCURRENTLY IF NOT EXISTS events_audit_actor ON events (tenant, actor, position) WHERE topic LIKE 'audit.%';
