"""Seals outside of the database: the key that signs heads, and the file that keeps them."""
