"""The JSON Schemas of types, for the descriptions of the API and of its events."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]


class JsonSchemas:
    """The schemas of some types, each once; what they share stands among the components."""

    def __init__(self, wanted: Iterable[tuple[Any, Mode]]) -> None:
        inputs = [(kind, mode, TypeAdapter(kind)) for kind, mode in dict.fromkeys(wanted)]
        self._by_kind, definitions = TypeAdapter.json_schemas(
            inputs, ref_template="#/components/schemas/{model}"
        )
        self.definitions: dict[str, Schema] = definitions.get("$defs", {})

    def of(self, kind: Any, mode: Mode) -> Schema:
        """The schema of one of the types."""
        return self._by_kind[kind, mode]

    def resolved(self, kind: Any, mode: Mode) -> Schema:
        """The same, where it is only a reference the schema that it refers to."""
        schema = self.of(kind, mode)
        return self.definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
