"""PostgreSQL: the embedded server, and the adapters that keep the log and the read models in it."""
