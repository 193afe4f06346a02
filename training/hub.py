"""Puts a checkpoint on the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - the client library has changed often
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import validate_repo_id

from clip_har.checkpoint import RUN_FILE, SPEC_FILE, WEIGHTS_FILE, spec_from_checkpoint
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE
from training.evaluation.report import CONFUSION_PICTURE, CONFUSION_TABLE
from training.model_card import CARD_FILE

TOKENIZER_FILE = "tokenizer.json"
REQUIRED = (SPEC_FILE, WEIGHTS_FILE, TOKENIZER_FILE)
OPTIONAL = (
    CARD_FILE,
    RUN_FILE,
    METRICS_FILE,
    REPORT_FILE,
    CONFUSION_PICTURE,
    CONFUSION_TABLE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
"""What may lie in a checkpoint beside what it needs; anything else stays here."""
REFUSALS = {
    401: "The Hub does not accept the token: make a new one on its page of access tokens.",
    403: "The token may not write there: it needs write access, and you rights on the namespace.",
    404: "There is no such user or organisation, or it is not yours.",
}


def push_to_hub(
    folder: Path,
    repository: str,
    private: bool = True,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Creates a model repository, or takes the one that is there, uploads, and gives its address.

    `token` is the one of `hf auth login` where none is given, `endpoint` the public Hub. An
    existing repository stays as private as it is. Raises ValueError with help for a folder that
    is no checkpoint, for a bad name, and where the Hub cannot be reached or refuses.
    """
    files = checkpoint_files(folder)
    _check_name(repository)
    known = token or get_token()
    if not known:
        raise ValueError(
            "No access token for the Hugging Face Hub was found. Make one with write access, then "
            "run `hf auth login` or set HF_TOKEN."
        )
    api = HfApi(endpoint=endpoint, token=known)
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=files,
            commit_message="Upload a CLIP-HAR checkpoint",
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        help_ = REFUSALS.get(status, "Try again later, or look at the message.")
        raise ValueError(f"{repository}: the Hub refused ({status}). {help_} {error}") from error
    except (HTTPError, OfflineModeIsEnabled, OSError) as error:
        raise ValueError(_unreachable(api.endpoint, error)) from error
    return made.url


def checkpoint_files(folder: Path) -> list[str]:
    """Names of the files that are uploaded; raises ValueError where the folder is no checkpoint."""
    spec_from_checkpoint(folder)
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder}: not a whole checkpoint, it has no {', '.join(missing)}. "
            "Train it again, or name the folder of one variant, such as runs/demo/temporal."
        )
    return [name for name in (*REQUIRED, *OPTIONAL) if (folder / name).is_file()]


def _check_name(repository: str) -> None:
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ValueError(
            f"{repository!r} is no name of a repository: {error} Expected OWNER/NAME, such as "
            "ann/har-temporal."
        ) from error


def _unreachable(endpoint: str, error: Exception) -> str:
    return (
        f"{endpoint} cannot be reached: {error}. Check the network, and that HF_HUB_OFFLINE is not "
        "set. The checkpoint folder can also be uploaded by hand, as it is."
    )
