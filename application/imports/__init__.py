"""Imports: histories of single tasks and agents, exported elsewhere, taken into this log."""
