"""Webhooks: how events are posted to addresses that others have named, and secrets are kept."""
