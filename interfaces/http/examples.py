"""Examples made from JSON Schemas, each valid by its schema."""

from collections.abc import Mapping
from typing import Any

from interfaces.http.json_schemas import Schema

FORMATS = {
    "uuid": "018f6a3e-1c2b-7d4e-9f00-0123456789ab",
    "date-time": "2026-01-31T12:00:00Z",
}
PLAIN: dict[str | None, Any] = {"boolean": False, "number": 0.5, "null": None, None: None}


def example_of(schema: Schema, definitions: Mapping[str, Schema], name: str = "text") -> Any:
    """The example that a schema brings along, else one of the required members alone.

    `name` is what a text stands for that the schema says no more about.
    """
    if given := schema.get("examples") or schema.get("enum"):
        return given[0]
    if "const" in schema:
        return schema["const"]
    if "$ref" in schema:
        return example_of(definitions[schema["$ref"].rpartition("/")[2]], definitions, name)
    if "allOf" in schema:
        parts = [example_of(part, definitions, name) for part in schema["allOf"]]
        return {member: value for part in parts for member, value in part.items()}
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return example_of(options[0], definitions, name)
    return _of_type(schema, definitions, name)


def _of_type(schema: Schema, definitions: Mapping[str, Schema], name: str) -> Any:
    match schema.get("type"):
        case "string":
            return FORMATS.get(schema.get("format", ""), f"<{name}>")
        case "integer":
            return schema.get("minimum", 1)
        case "array":
            return [example_of(schema["items"], definitions, name)]
        case "object":
            required = schema.get("required", ())
            members = schema.get("properties", {}).items()
            return {n: example_of(s, definitions, n) for n, s in members if n in required}
        case other:
            return PLAIN[other]
