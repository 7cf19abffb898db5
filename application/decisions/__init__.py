"""Decisions explained from the log alone, and made again under another policy."""
