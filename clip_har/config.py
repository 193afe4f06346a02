"""Typed settings read from TOML: frozen, checked once, an unknown key is an error."""

import sys
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
        try:
            table = tomllib.loads(path.read_text())
        except FileNotFoundError as error:
            raise ValueError(f"{path}: no such settings file.") from error
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{path}: not valid TOML: {error}.") from error
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
    where = ".".join(str(part) for part in error["loc"])  # type: ignore[attr-defined]
    if error["type"] == "extra_forbidden":
        known = ", ".join(cls.model_fields)
        return f"unknown key {where!r}. Known keys here: {known}."
    return f"{where}: {error['msg']} (got {error['input']!r})."
