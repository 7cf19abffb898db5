"""How: the adapters that implement the ports of the application layer."""
