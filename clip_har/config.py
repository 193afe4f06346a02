"""Typed tables read from TOML or JSON: frozen, checked once, an unknown key is an error."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Config(BaseModel):
    """Base of every settings table. A line under each field says what it means."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Reads a TOML file.

        Raises ValueError that names the file, the key, what was found and what was expected.
        """
        return cls._from_text(path, tomllib.loads)

    @classmethod
    def from_json(cls, path: Path) -> Self:
        """Reads a JSON file; raises ValueError like from_toml."""
        return cls._from_text(path, json.loads)

    @classmethod
    def _from_text(cls, path: Path, parse: Callable[[str], object]) -> Self:
        try:
            table = parse(path.read_text())
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}.") from error
        except ValueError as error:  # both parsers' errors are ValueErrors
            raise ValueError(f"{path}: not valid {path.suffix[1:].upper()}: {error}.") from error
        return cls.from_table(table, str(path))

    @classmethod
    def from_table(cls, table: object, source: str) -> Self:
        """Checks a table that was read from `source`; raises ValueError like from_toml."""
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            lines = [_explained(dict(one), cls) for one in error.errors()]
            raise ValueError("\n".join(f"{source}: {line}" for line in lines)) from error


def _explained(error: dict[str, object], cls: type[BaseModel]) -> str:
    place = error["loc"]
    assert isinstance(place, tuple)
    where = ".".join(str(part) for part in place)  # pyright: ignore[reportUnknownVariableType]
    if error["type"] == "missing":
        return f"the key {where!r} is missing."
    if error["type"] == "extra_forbidden":
        known = f" Known keys: {', '.join(cls.model_fields)}." if len(place) == 1 else ""
        return f"unknown key {where!r}.{known}"
    return f"{where}: {error['msg']} (got {error['input']!r})."
