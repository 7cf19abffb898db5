-- without a transaction
-- What began each epoch is found without reading the log.

CREATE INDEX CONCURRENTLY IF NOT EXISTS events_restored ON events (position) WHERE topic = 'store.restored';
