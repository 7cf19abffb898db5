"""Live events: channels of the log, and of what is never in it, to whoever listens."""
