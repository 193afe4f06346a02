"""Texts at the live line: what is served is what the trained model says. N texts, D embedding."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from clip_har.checkpoint import tokenizer_from_checkpoint
from clip_har.labels import sentences
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.nn.clip import class_embeds
from clip_har.nn.model import CLIPHARModel
from server.process import RunningServer

pytestmark = pytest.mark.triton
Ask = Callable[..., NDArray[np.float32]]
NAMES = ("walking", "a man who kicks", "Jump!", "größer", "cartwheel  left")


@pytest.fixture(params=["grpc", "http"])
def ask(request: pytest.FixtureRequest, line: RunningServer) -> Iterator[Ask]:
    """Asks a model with tritonclient itself, over each protocol: model, output, tensors."""
    triton: ModuleType = {"grpc": tritonclient.grpc, "http": tritonclient.http}[request.param]
    url = {"grpc": line.grpc_url, "http": line.http_url}[request.param]
    client: Any = triton.InferenceServerClient(url)

    def infer(model: str, wanted: str, **values: list) -> NDArray[np.float32]:
        inputs = []
        for name, rows in values.items():
            array = np.array(rows, object)
            inputs.append(triton.InferInput(name, list(array.shape), "BYTES"))
            inputs[-1].set_data_from_numpy(array)
        return client.infer(model, inputs).as_numpy(wanted)

    yield infer
    client.close()


@pytest.fixture
def runs(line: RunningServer) -> Iterator[Callable[[], tuple[int, int]]]:
    """Sentences that the text encoder has encoded so far, and its runs."""
    with tritonclient.grpc.InferenceServerClient(line.grpc_url) as client:

        def counted() -> tuple[int, int]:
            (told,) = client.get_inference_statistics("text_encoder").model_stats
            return told.inference_count, told.execution_count

        yield counted


def embedded(model: CLIPHARModel, checkpoints: Path, texts: list[str]) -> torch.Tensor:
    """Texts as they are, (N, D)."""
    tokenizer = tokenizer_from_checkpoint(checkpoints / "temporal", model)
    with torch.inference_mode():
        return model.encode_texts(tokenizer(texts, padding=True, return_tensors="pt").input_ids)


def test_scores_are_those_of_the_trained_model(
    ask: Ask, models: dict, checkpoints: Path, clip: bytes, still: bytes
) -> None:
    model = models["har_temporal"]
    rows = [sentences(name, model.spec.prompts) for name in NAMES]
    texts = class_embeds(torch.stack([embedded(model, checkpoints, row) for row in rows]))
    seen = []
    for media in (clip, still):  # T is the model's frames, then 1
        spec = model.spec
        size = spec.preprocessing.image_size
        frames, times = frames_from_media(media, spec.frames, size, Limits())
        with torch.inference_mode():
            answer = model(torch.from_numpy(frames[None]), torch.from_numpy(times[None]))
            trained = model.text_logits(answer.embedding, texts).softmax(dim=-1)[0].numpy()
        named = [[name.encode() for name in NAMES]]
        served = ask("har_zero_shot", "SCORES", MEDIA=[[media]], TEXTS=named)
        assert served.shape == (1, len(NAMES))
        assert served.sum() == pytest.approx(1, abs=1e-5)
        assert np.abs(served[0] - trained).max() <= 1e-4
        seen.append(served[0])
    assert np.ptp(seen[0]) > 0.01, "all texts score alike: this compares nothing"


def test_embeddings_of_texts_are_those_of_the_trained_model(
    ask: Ask, models: dict, checkpoints: Path
) -> None:
    texts = [f"a person {name}" for name in NAMES]
    served = ask("har_text_embed", "EMBEDDINGS", TEXTS=[[text.encode() for text in texts]])
    trained = embedded(models["har_temporal"], checkpoints, texts).numpy()
    assert np.abs(served[0] - trained).max() <= 1e-5
    assert np.linalg.norm(served[0], axis=1) == pytest.approx(1, abs=1e-6)


def test_a_name_and_its_sentence_share_a_place(ask: Ask, models: dict) -> None:
    """As sentences, names are not put into prompts: that is what zero-shot does."""
    (prompt,) = models["har_temporal"].spec.prompts
    name, sentence = ask(
        "har_text_embed", "EMBEDDINGS", TEXTS=[[b"walking", prompt.format("walking").encode()]]
    )[0]
    assert np.abs(name - sentence).max() > 1e-3


def test_a_thousand_texts_are_encoded_once(ask: Ask, runs: Callable, clip: bytes, request) -> None:
    protocol = request.node.callspec.params["ask"]
    named = [[f"{protocol} {i}".encode() for i in range(1000)]]
    before = runs()
    first = ask("har_zero_shot", "SCORES", MEDIA=[[clip]], TEXTS=named)
    between = runs()
    assert between[0] - before[0] == 1000
    assert between[1] - before[1] == 16  # 1000 / max_batch_size, rounded up
    second = ask("har_zero_shot", "SCORES", MEDIA=[[clip]], TEXTS=named)
    assert runs() == between
    assert first.tobytes() == second.tobytes()


def test_texts_that_occur_twice_are_encoded_once(ask: Ask, runs: Callable, request) -> None:
    text = f"twice {request.node.callspec.params['ask']}".encode()
    before = runs()
    rows = ask("har_text_embed", "EMBEDDINGS", TEXTS=[[text, text], [text, b"a person walking"]])
    assert runs()[0] - before[0] <= 2
    assert rows.shape[:2] == (2, 2)
    assert (rows[0, 0] == rows[1, 0]).all()
    assert (rows[0, 0] != rows[1, 1]).any()


BAD = {
    "empty": ([b"run", b" \n"], "Text 2 of 2 is empty: send at least one word"),
    "not UTF-8": ([b"\xff\xfe"], r"Text 1 of 1 is not UTF-8: b'\\xff\\xfe'"),
    "long": ([b"run"] * 2 + [b"ab " * 200], r"Text 3 of 3 has \d+ tokens as 'a.*reads 77"),
    "huge": ([b"x" * 2001], "Text 1 of 1 has 2001 bytes, but the limit is 2000"),
    "many": ([b"run"] * 1001, "1001 texts were sent, but a request has 1 to 1000"),
    "none": ([], r"TEXTS|0 texts were sent"),
}


@pytest.mark.parametrize("model", ["har_text_embed", "har_zero_shot"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_texts_are_refused_with_the_reason(
    ask: Ask, line: RunningServer, clip: bytes, kind: str, model: str
) -> None:
    texts, message = BAD[kind]
    wanted, others = {
        "har_text_embed": ("EMBEDDINGS", {}),
        "har_zero_shot": ("SCORES", {"MEDIA": [[clip]]}),
    }[model]
    with pytest.raises(InferenceServerException, match=message) as refused:
        ask(model, wanted, TEXTS=[texts], **others)
    assert "Traceback" not in str(refused.value)
    assert line.fault() is None
