"""Tests, by what they cost."""
