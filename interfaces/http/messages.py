"""What is wrong with a body or a parameter, in plain words, without showing what was sent."""

from collections.abc import Mapping, Sequence
from typing import Any

WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} members",
    "too_long": "must have at most {max_length} members",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "union_tag_invalid": "must name one of {expected_tags}",
    "union_tag_not_found": "must say what it is by {discriminator}",
    "none_required": "must be null",
}


def in_words(fault: Mapping[str, Any]) -> str:
    """What one fault that pydantic found asks for."""
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    return WORDS.get(fault["type"], "has a value that it cannot have").format_map(context)


def pointer_to(location: Sequence[int | str], body: Any) -> str:
    """Where in the body it is, as a JSON Pointer (RFC 6901); the empty one is the whole body.

    A step that pydantic took through a union, and not through the body, is left out.
    """
    steps = []
    found = body
    for place, step in enumerate(location):
        inside = isinstance(found, dict | list)
        if inside and (isinstance(step, int) or step in found):
            found = found[step]
        elif place < len(location) - 1 or step == "[key]":
            continue
        steps.append(str(step)[:100].replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in steps)
