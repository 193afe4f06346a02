"""Python models that call graphs: each version calls the graphs of its own publication."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.manifest import verify
from builder.publishing import publish, rollback
from clip_har.place import Place

CALLER = """
backend: "python" max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [4] }]
version_policy { specific { versions: [1] } }
parameters { key: "call_text" value { string_value: "text/1" } }
parameters { key: "most" value { string_value: "9" } }
"""
SPOKEN = """
platform: "ensemble" max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [4] }]
ensemble_scheduling { step [
  { model_name: "caller" model_version: 1
    input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" } }
] }"""


@pytest.fixture
def write_callers(write_build: Callable[..., Path], add_model: Callable) -> Callable[..., Path]:
    """A build in which `caller`, behind the ensemble `spoken`, and the public `stream` call
    `text`.
    """

    def write(name: str, **contents: str) -> Path:
        folder = write_build(name, **contents)
        add_model(folder, "caller", CALLER, {"model.py": "# the same in all builds\n"})
        add_model(folder, "stream", CALLER, {"model.py": "# the same in all builds\n"})
        add_model(folder, "spoken", SPOKEN, {})
        return folder

    return write


def called(live, model: str) -> str:
    return live.config(model).parameters["call_text"].string_value


def test_a_caller_moves_with_what_it_calls(write_callers, live):
    publish(write_callers("one"), live.folder)
    assert (called(live, "caller"), called(live, "stream")) == ("text/1", "text/1")
    assert live.loaded("text") == [1]
    done = publish(write_callers("two", text="t2"), live.folder)
    assert done.places == ("caller_v2/2", "stream/2", "text/2")
    assert (called(live, "caller"), called(live, "caller_v2")) == ("text/1", "text/2")
    (step,) = live.config("spoken").ensemble_scheduling.step
    assert (step.model_name, step.model_version) == ("caller_v2", 2)
    assert (called(live, "stream"), live.loaded("stream")) == ("text/2", [2])
    assert live.loaded("text") == [1, 2], "the standby's caller needs the first"
    rollback(live.folder)
    (step,) = live.config("spoken").ensemble_scheduling.step
    assert (step.model_name, step.model_version) == ("caller", 1)
    assert (called(live, "stream"), live.loaded("stream")) == ("text/1", [1])
    assert verify(live.folder) == []


def test_a_caller_of_the_same_graph_stays_where_it_is(write_callers, live):
    publish(write_callers("one"), live.folder)
    done = publish(write_callers("two", head="h2"), live.folder)
    assert done.places == ("head/2",)
    assert (called(live, "caller"), live.loaded("caller")) == ("text/1", [1])


def test_a_graph_in_a_folder_of_its_own_is_found_by_its_caller(write_callers, live, edit):
    publish(write_callers("one"), live.folder)
    two = write_callers("two", text="t2")
    edit(two, "text", "max_batch_size: 8", "max_batch_size: 16")
    publish(two, live.folder)
    assert called(live, "caller_v2") == "text_v2/2"


def test_a_caller_of_a_missing_graph_is_refused(write_callers, live, edit):
    one = write_callers("one")
    edit(one, "caller", "call_text", "call_speech")
    edit(one, "caller", "text/1", "speech/1")
    with pytest.raises(ValueError, match="speech is called and missing"):
        publish(one, live.folder)


@pytest.fixture
def stream_at_work(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that loads only what is on disk, and in which no call of `stream` ever ends."""

    class Server:
        def __init__(self, url: str): ...
        def close(self) -> None: ...
        def let_go(self, model: str) -> None: ...
        def probe(self, model: str, config: object) -> None: ...
        def served(self, model: str) -> None: ...
        def take_up(self, model: str, config: object) -> None:
            live.loaded(model)  # which must be there

        def is_ending(self, place: Place) -> bool:
            return place.model == "stream" and place.version not in live.loaded("stream")

    monkeypatch.setattr("builder.publishing.LiveServer", Server)
    monkeypatch.setattr("builder.switching.PARTING", 0.0)


def test_what_a_caller_at_work_calls_stays_though_other_models_of_its_time_are_gone(
    stream_at_work: None, write_callers: Callable[..., Path], live: Any
) -> None:
    for number in (1, 2, 3):
        publish(write_callers(str(number), head=f"h{number}"), live.folder, url="fake")
    assert (live.versions("head"), live.versions("stream")) == ([2, 3], [1])
    publish(write_callers("4", head="h4", text="t2"), live.folder, url="fake")
    publish(write_callers("5", head="h5", text="t3"), live.folder, url="fake")
    publish(write_callers("6", head="h6", text="t4"), live.folder, url="fake")
    assert live.loaded("text") == [1, 4, 5, 6], "1 and 4 are called, 5 is on standby"
    assert live.loaded("stream") == [6]
    assert verify(live.folder) == []


def test_a_forgotten_version_whose_caller_is_at_work_is_published_as_a_new_one(
    stream_at_work: None, write_callers: Callable[..., Path], live: Any
) -> None:
    first = write_callers("1")
    publish(first, live.folder, url="fake")
    for number in (2, 3):
        publish(write_callers(str(number), text=f"t{number}"), live.folder, keep=1, url="fake")
    assert publish(first, live.folder, keep=1, url="fake").version == 4
    assert rollback(live.folder, url="fake").version == 3
