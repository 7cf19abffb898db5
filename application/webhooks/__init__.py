"""Webhooks: events of the log, posted to where a tenant wants them.

A webhook is a row, not an aggregate: its secret has no place in a log that is never deleted.
"""
