-- without a transaction
-- From causes to their effects. Each index is partial and leaves out what most events are, so that an append pays for
-- little more than looking at its predicate.

CREATE INDEX CONCURRENTLY IF NOT EXISTS events_effects ON events (causation_id)
    WHERE causation_id IS NOT NULL AND topic <> 'task.assigned';
CREATE INDEX CONCURRENTLY IF NOT EXISTS events_lost ON events (position) WHERE topic = 'task.lease_expired';

CREATE INDEX CONCURRENTLY IF NOT EXISTS task_board_parent ON task_board (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS task_board_rebuilt_parent_idx ON task_board_rebuilt (parent_id)
    WHERE parent_id IS NOT NULL;
