"""Incident replay: recorded events again, with their timing, for whoever asked."""
