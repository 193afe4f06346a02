"""The Python examples of the documents do what they show."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from server.process import RunningServer

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "call.md")
EXAMPLES = [
    (f"{document.name} {number}", example)
    for document in DOCUMENTS
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", document.read_text(), re.S))
]


@pytest.mark.triton
@pytest.mark.parametrize(
    "example", [code for _, code in EXAMPLES], ids=[one for one, _ in EXAMPLES]
)
def test_an_example_runs(
    example: str,
    stand_in: RunningServer,
    clip_of: Callable[[str], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r'"([\w/]+\.mp4)"', example):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(clip_of("brightening"))
    for name in re.findall(r'"([\w/]+\.jpg)"', example):
        Image.new("RGB", (64, 48), (0, 255, 0)).save(name)
    assert "127.0.0.1:8001" in example
    exec(compile(example.replace("127.0.0.1:8001", stand_in.grpc_url), "example", "exec"), {})
    assert capsys.readouterr().out
