"""Keys, tokens and hashes: the adapters behind `application.accounts`."""
