-- name: listen
-- On a connection that does nothing else, but for the question below.
LISTEN musterroll

-- name: others
-- Whether anybody else listens. Asked once a second by each, so that one process alone announces nothing.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND starts_with(application_name, %s) AND pid <> pg_backend_pid())

-- name: announce
-- Outside of every append, which it would make three times as long; and it need not be on the disk before others hear
-- of it, since what it speaks of is.
SELECT pg_notify('musterroll', $1), set_config('synchronous_commit', 'off', true)
