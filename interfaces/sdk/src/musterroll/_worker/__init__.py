"""How a worker works. A shift is one run of it, from first heartbeat to last report."""
