"""Who asks: HTTP, the command line, the SDK; and the composition root."""
