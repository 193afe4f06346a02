"""What a client gets is what the trained model says. B media, T frames, K classes, D embedding."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc

from builder.checkpoints import Variants, variants_from_folder
from builder.graphs import PUBLIC
from builder.parity import Answer, torch_answers
from clients.errors import InvalidMedia
from clients.recognizer import Recognizer
from clip_har.contract import FRAMES, HAR_ENSEMBLE, MEDIA, MODELS, PREPROCESS, TIMES
from clip_har.dataset import DataSet
from clip_har.limits import Limits
from clip_har.media import Times, frames_from_media
from clip_har.nn.model import CLIPHARModel
from clip_har.preprocess import Pixels
from clip_har.product import file_hash
from clip_har.reference import Reference
from clip_har.spec import ModelSpec
from server.process import RunningServer

pytestmark = pytest.mark.triton
VARIANTS = ("har_base", "har_temporal")


@pytest.fixture(scope="session")
def media(mocap: Path, data_set: DataSet) -> list[bytes]:
    """Every held-out MP4 and JPEG."""
    samples = (*data_set.split("test"), *data_set.stills)
    return [(mocap / sample.path).read_bytes() for sample in samples]


@pytest.fixture
def grpc(line: RunningServer) -> Iterator[Recognizer]:
    with Recognizer(line.grpc_url) as connected:
        yield connected


@pytest.fixture
def http(line: RunningServer) -> Iterator[Recognizer]:
    with Recognizer(line.http_url, protocol="http") as connected:
        yield connected


def trained_answer(model: CLIPHARModel, media: bytes) -> Answer:
    spec = model.spec
    variants = Variants({spec.temporal: model}, {})
    return torch_answers(variants, *seen_frames(spec, media))[PUBLIC[spec.temporal].name]


def seen_frames(spec: ModelSpec, media: bytes) -> tuple[Pixels, Times]:
    return frames_from_media(media, spec.frames, spec.preprocessing.image_size, Limits())


@pytest.mark.parametrize("variant", VARIANTS)
def test_served_probabilities_are_those_of_the_trained_model(
    recognizer: Recognizer, models: dict[str, CLIPHARModel], media: list[bytes], variant: str
) -> None:
    trained = np.stack([trained_answer(models[variant], one).probs for one in media])
    served = np.stack([recognizer.probabilities(one, variant) for one in media])  # (B, K)
    assert np.abs(trained - served).max() <= 1e-4
    assert np.ptp(trained, axis=0).max() > 0.1, "the media all look alike: this compares nothing"


def test_the_ensemble_serves_what_its_trained_members_say_together(
    recognizer: Recognizer, checkpoints: Path, media: list[bytes]
) -> None:
    variants = variants_from_folder(checkpoints)
    for one in media:
        answers = torch_answers(variants, *seen_frames(variants.spec, one))
        served = recognizer.probabilities(one, HAR_ENSEMBLE.name)  # (K,)
        assert np.abs(answers[HAR_ENSEMBLE.name].probs - served).max() <= 1e-4
        assert all(np.abs(answers[name].probs - served).max() > 1e-3 for name in VARIANTS)


@pytest.mark.parametrize("variant", [*VARIANTS, HAR_ENSEMBLE.name])
def test_served_probabilities_are_the_builders_reference(
    recognizer: Recognizer, built: Path, mocap: Path, variant: str
) -> None:
    reference = Reference.from_json(built / "reference.json")
    for one in reference.clips:
        served = recognizer.probabilities(mocap / one.path, variant)
        assert np.abs(served - one.models[variant].onnx).max() <= 1e-6, one.path


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_protocols_give_the_same_bits(
    grpc: Recognizer, http: Recognizer, media: list[bytes], variant: str
) -> None:
    for one in media:
        answers = [asked.probabilities(one, variant) for asked in (grpc, http)]
        assert answers[0].tobytes() == answers[1].tobytes()


def test_only_the_temporal_variant_tells_a_clip_from_its_reversal(
    recognizer: Recognizer, mocap: Path, data_set: DataSet
) -> None:
    assert data_set.pairs
    for pair in data_set.pairs:
        # Logits, but for a constant.
        base, temporal = (
            np.log(recognizer.probabilities(mocap / pair.forward, variant))
            - np.log(recognizer.probabilities(mocap / pair.backward, variant))
            for variant in VARIANTS
        )
        assert np.abs(base).max() < 1e-4
        assert np.abs(temporal).max() > 1e-2  # briefly trained, so little, yet far above rounding


def test_an_embedding_is_of_unit_length_and_that_of_the_trained_model(
    recognizer: Recognizer, models: dict[str, CLIPHARModel], media: list[bytes]
) -> None:
    for one in media:
        served = recognizer.embed(one)
        assert np.linalg.norm(served) == pytest.approx(1, abs=1e-6)
        assert np.abs(served - trained_answer(models["har_temporal"], one).embedding).max() <= 1e-5


def test_preprocessing_serves_the_pixels_of_training(
    line: RunningServer, clip: bytes, still: bytes, models: dict[str, CLIPHARModel]
) -> None:
    spec = models["har_base"].spec
    for media, count in ((still, 1), (clip, spec.frames)):
        size = spec.preprocessing.image_size
        frames, times = frames_from_media(media, spec.frames, size, Limits())
        assert len(frames) == count
        served = preprocessed(line, media)
        assert np.array_equal(served[FRAMES.name][0], frames)
        assert np.array_equal(served[TIMES.name][0], times)


def preprocessed(line: RunningServer, media: bytes) -> dict[str, np.ndarray]:
    tensor = tritonclient.grpc.InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    tensor.set_data_from_numpy(np.array([[media]], dtype=object))
    with tritonclient.grpc.InferenceServerClient(line.grpc_url) as client:
        answer = client.infer(PREPROCESS.name, [tensor])
    return {output.name: answer.as_numpy(output.name) for output in PREPROCESS.outputs}


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_and_a_video_share_a_request(
    recognizer: Recognizer, clip: bytes, still: bytes, variant: str
) -> None:
    labels = recognizer.labels(variant)
    together = recognizer.classify_batch([still, clip], variant, top_k=len(labels))
    for media, seen in zip((still, clip), together, strict=True):
        by_index = sorted(seen.predictions, key=lambda one: one.index)
        alone = recognizer.probabilities(media, variant)
        assert [one.score for one in by_index] == pytest.approx(alone.tolist(), abs=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_are_the_checkpoints(
    recognizer: Recognizer, models: dict[str, CLIPHARModel], variant: str
) -> None:
    assert recognizer.labels(variant) == models[variant].spec.labels


def test_requests_at_the_same_time_each_get_their_own_answer(
    line: RunningServer, recognizer: Recognizer, media: list[bytes]
) -> None:
    alone = [recognizer.probabilities(one) for one in media]  # (B, K)
    apart = min(np.abs(one - other).max() for one, other in combinations(alone, 2))
    assert apart > 1e-3, "the clips look alike: this shows no mix-up"
    url = recognizer.url

    def ask(turn: int) -> None:
        with Recognizer(url, protocol=recognizer.protocol) as mine:
            for place in np.random.default_rng(turn).permutation(len(media)):
                answer = mine.probabilities(media[place])
                assert np.abs(answer - alone[place]).max() <= 1e-4
                if place % 4 == turn % 4:
                    with pytest.raises(InvalidMedia, match="Item 1 of 1: The file is empty"):
                        mine.probabilities(b"")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))
    assert line.fault() is None


def test_the_manifest_lists_every_file_with_its_hash(built: Path) -> None:
    repository = built / "model_repository"
    files = {
        str(path.relative_to(repository)): file_hash(path)
        for path in repository.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert json.loads((built / "manifest.json").read_text())["files"] == files


def test_the_repository_holds_model_folders_and_nothing_else(built: Path) -> None:
    folders = list((built / "model_repository").iterdir())
    assert {folder.name for folder in folders} == {model.name for model in MODELS}
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert {"config.pbtxt", "1"} <= names <= {"config.pbtxt", "1", "labels.txt", "warmup"}
