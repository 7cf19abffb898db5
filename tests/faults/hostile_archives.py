"""Archives that somebody damaged, forged or made to do harm, by name: what each must be called."""

from tests.faults import (
    hostile_encrypted,
    hostile_files,
    hostile_manifests,
    hostile_rows,
    hostile_segments,
)
from tests.faults.hostile_case import CASES, ENCRYPTED, Case, Hostile, a_victim, hostile, refusal_of

__all__ = ["CASES", "ENCRYPTED", "Case", "Hostile", "a_victim", "hostile", "refusal_of"]

LISTS = (hostile_files, hostile_manifests, hostile_segments, hostile_rows, hostile_encrypted)
"""They put themselves into CASES and ENCRYPTED."""
