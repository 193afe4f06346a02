"""How the live line treats what waits, and what it remembers: time-outs, priorities, the cache."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from server.process import RunningServer, prepare
from server.readiness import ASKED, check_models

pytestmark = pytest.mark.triton


def media(clip: bytes) -> list[Any]:
    tensor = tritonclient.grpc.InferInput("MEDIA", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[clip]], object))
    return [tensor]


def test_a_request_that_waits_longer_than_its_sender_allows_is_refused(
    client: Any, clip: bytes
) -> None:
    with pytest.raises(InferenceServerException, match="Request timeout expired"):
        client.infer("har_temporal", media(clip), timeout=1)


@pytest.mark.parametrize("priority", [1, 2])
def test_both_priorities_get_the_same_answer(client: Any, clip: bytes, priority: int) -> None:
    plain = client.infer("har_temporal", media(clip)).as_numpy("PROBS")
    asked = client.infer("har_temporal", media(clip), priority=priority).as_numpy("PROBS")
    assert asked.tobytes() == plain.tobytes()


def test_every_step_warms_up_without_a_fault(line: RunningServer) -> None:
    log = line.log_path.read_text()
    assert "successfully loaded 'preprocess'" in log
    assert [text for text in log.splitlines() if "warm" in text.lower()] == []


def hits(server: RunningServer) -> tuple[int, int]:
    """Answers of har_temporal from the cache, and runs of the step behind it."""
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        (told,) = client.get_inference_statistics("har_temporal").model_stats
        (step,) = client.get_inference_statistics("preprocess").model_stats
    return told.inference_stats.cache_hit.count, step.execution_count


@pytest.mark.parametrize("mib", [0, 16])
def test_answers_are_remembered_only_where_profile_and_server_say_so(
    built: Path, clip: bytes, tmp_path: Path, mib: int
) -> None:
    repository = tmp_path / "model_repository"
    shutil.copytree(built / "model_repository", repository)
    path = repository / "har_temporal" / "config.pbtxt"
    config = text_format.Parse(path.read_text(), ModelConfig())
    assert not config.response_cache.enable, "off unless the profile says otherwise"
    config.response_cache.enable = True  # as a profile with response_cache has it
    path.write_text(text_format.MessageToString(config))
    server = prepare(repository, log_path=tmp_path / "log", cache_mib=mib)
    try:
        server.start()
        with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
            first = client.infer("har_temporal", media(clip)).as_numpy("PROBS")
            before = hits(server)
            second = client.infer("har_temporal", media(clip)).as_numpy("PROBS")
            after = hits(server)
    finally:
        server.stop()
    assert first.tobytes() == second.tobytes()
    assert (after[0] - before[0], after[1] - before[1]) == ((1, 0) if mib else (0, 1))


def test_a_cache_beside_publishing_is_refused(built: Path) -> None:
    """Triton's cache knows an ensemble by its name and version, which publishing keeps."""
    with pytest.raises(ValueError, match="would give old answers"):
        prepare(built / "model_repository", accept_loads=True, cache_mib=16)


def test_a_watched_server_is_asked_one_model_a_turn_and_each_in_its_turn(
    line: RunningServer,
) -> None:
    asked = [
        [check.model for check in check_models(line.http_url, 60, turn) if check.how == "inference"]
        for turn in range(len(ASKED))
    ]
    assert asked == [[model.name] for model in ASKED]
    assert all(line.fault(turn) is None for turn in range(len(ASKED)))
