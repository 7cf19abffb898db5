"""Backups of the log: taken, proved, kept, restored to any event."""
