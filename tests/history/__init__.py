"""Every event ever shipped is still read."""
