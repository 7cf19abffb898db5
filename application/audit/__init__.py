"""The audit trail: who commanded, read and was refused what, written into the log."""
