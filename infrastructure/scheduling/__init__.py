"""When work is done that is due at a time."""
