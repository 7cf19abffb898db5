"""The command line `muster`: one module a command group, everything through the SDK."""
