"""The parameters in a Python model's config.pbtxt, as typed settings."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from clip_har.config import Config

BACKEND_PARAMETERS = ("EXECUTION_ENV_PATH", "FORCE_CPU_ONLY_INPUT_TENSORS")
"""Parameters that Triton's Python backend reads itself."""
PLACEHOLDER = "filled in by the builder"
Settings = TypeVar("Settings", bound=Config)


@contextmanager
def load_explained(triton: Any) -> Generator[None]:
    """Has a ValueError fail the load of a model, with one line that says why.

    `triton` is the module that exists only in the processes that Triton starts.
    """
    try:
        yield
    except ValueError as error:
        raise triton.TritonModelException(str(error).replace("\n", " ")) from None


def settings_from_config(config: Mapping[str, Any], settings: type[Settings]) -> Settings:
    """The settings in a model's configuration, which Triton hands over as JSON.

    Raises ValueError for a wrong, missing or unknown parameter.
    """
    name = config["name"]
    parameters = {
        key: value["string_value"]
        for key, value in config["parameters"].items()
        if key not in BACKEND_PARAMETERS
    }
    unfilled = [key for key, value in parameters.items() if value == PLACEHOLDER]
    if unfilled:
        raise ValueError(
            f"{name}: parameters {' and '.join(unfilled)} are not filled in: this is the "
            "source of the model. Serve a repository that the builder made (python -m builder)."
        )
    return settings.from_table(parameters, f"{name}: config.pbtxt: parameters")
