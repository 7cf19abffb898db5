"""Accounts: who may sign in, as what, and until when.

Accounts are not events: a secret's hash has no place in a log that is never deleted. What an
account *does* is in the log, under its subject (`user/alice`).
"""
