"""Exports: a stretch of the log as lines, and a signed line by which they are checked elsewhere."""
