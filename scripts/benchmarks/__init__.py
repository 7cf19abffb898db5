"""The limits of this machine, the peers and us, measured in one run."""
