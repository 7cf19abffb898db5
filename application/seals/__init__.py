"""Seals: the log as a Merkle tree whose heads are signed, so that no change of it stays unseen."""
