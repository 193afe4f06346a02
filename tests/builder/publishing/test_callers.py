"""Python models that call graphs: each version calls the graphs of its own publication."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builder.manifest import verify
from builder.publishing import publish, rollback

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
