import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clients.recognizer import Recognizer
from server.process import RunningServer

Run = Callable[..., Any]
NOWHERE = ("--url", "127.0.0.1:1")


@pytest.fixture
def evaluate(run: Run, stand_in: RunningServer, data: Path, tmp_path: Path) -> Run:
    """Runs `evaluate` on the data set against the stand-in, into the folder `out`."""
    urls = ("--grpc-url", stand_in.grpc_url, "--http-url", stand_in.http_url)
    return lambda *more: run("evaluate", data, "--out", tmp_path / "out", *urls, *more)


def change_manifest(data: Path, change: Callable[[dict[str, list[dict[str, str]]]], None]) -> None:
    path = data / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.triton
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_classify_prints_a_json_line_for_each_file(
    run: Run, stand_in: RunningServer, data: Path, protocol: str
) -> None:
    url = {"grpc": stand_in.grpc_url, "http": stand_in.http_url}[protocol]
    given = ("--protocol", protocol, "--url", url, "--top-k", 2, "--json")
    done = run("classify", data / "test" / "darkening", data / "stills" / "red.jpg", *given)
    assert (done.code, done.err) == (0, "")
    assert [Path(str(line["path"])).name for line in done.lines] == ["0.avi", "1.avi", "red.jpg"]
    for line, label in zip(done.lines, ("darkening", "darkening", "red"), strict=True):
        assert set(line) == {"path", "model", "predictions", "latency_ms"}
        assert line["model"] == "har_temporal"
        best, second = line["predictions"]
        assert set(best) == {"label", "index", "score"}
        assert best["label"] == label
        assert best["score"] > second["score"]


@pytest.mark.triton
def test_a_bad_file_is_named_and_the_rest_go_on(
    run: Run, stand_in: RunningServer, data: Path
) -> None:
    (data / "bad.mp4").write_bytes(b"junk")
    paths = (data / "bad.mp4", data / "stills" / "red.jpg")
    table = run("classify", *paths, "--url", stand_in.grpc_url)
    assert table.code == 1
    assert "bad.mp4" in table.out
    assert "✗" in table.out
    assert "red 99.9%" in table.out
    bad, good = run("classify", *paths, "--url", stand_in.grpc_url, "--json").lines
    assert bad["kind"] == "invalid_media"
    assert str(bad["error"]).startswith("MEDIA: ")
    assert "predictions" in good


def test_a_server_that_is_not_there_ends_with_what_to_do(run: Run, data: Path) -> None:
    done = run("classify", data, *NOWHERE)
    assert done.code == 1
    assert "No server answers at 127.0.0.1:1" in done.err
    assert "make serve" in done.err
    assert "Traceback" not in done.err


@pytest.mark.triton
def test_a_model_that_is_not_there_is_not_a_missing_server(
    run: Run, stand_in: RunningServer, data: Path
) -> None:
    done = run("classify", data, "--url", stand_in.grpc_url, "--model", "har_missing")
    assert done.code == 1
    assert "har_missing" in done.err
    assert "make serve" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [("classify", "missing.mp4"), ("classify",), ("classify", ".", "--top-k", 0), ("guess",)],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: tuple[object, ...]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.err


@pytest.mark.triton
def test_evaluate_reports_what_can_be_reckoned_by_hand(evaluate: Run, tmp_path: Path) -> None:
    done = evaluate()
    assert done.code == 0
    assert "error" not in done.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    # The order-blind model ties on both grey classes and takes the first; one label is wrong.
    assert report["top1"] == {"base": 0.7, "temporal": 0.9}
    expected = {"base": (1 + 1 + 0 + 2 / 3 + 1) / 5, "temporal": (1 + 1 + 1 + 2 / 3 + 1) / 5}
    assert report["mean_class_accuracy"] == pytest.approx(expected)
    assert report["order_pairs"] == {"base": 0.5, "temporal": 1.0}
    assert report["models"]["har_base"]["order_pairs_max_abs_logit_difference"] == 0
    assert report["models"]["har_temporal"]["order_pairs_max_abs_logit_difference"] > 1
    assert report["pairs"] == 2
    # The order-aware model compares the last picture with the first, and a loop has them alike.
    assert report["models"]["har_temporal"]["order"]["reversal"]["accuracy"] == 1
    for model in ("har_base", "har_temporal"):
        loop = {"pairs": 1, "accuracy": 0.5, "max_abs_logit_difference": 0}
        assert report["models"][model]["order"]["closed_loop"] == loop
    assert report["left_out"] == {"labels": [], "clips": 0, "stills": 0, "pairs": 0}
    assert report["models"]["har_base"]["stills_top1"] == 1
    assert report["models"]["har_base"]["confusions"] == [
        {"truth": "darkening", "predicted": "brightening", "count": 2},
        {"truth": "green", "predicted": "red", "count": 1},
    ]
    assert set(report["models"]["har_base"]["latency_ms"]) == {"grpc", "http"}
    assert (report["classes"], report["test_clips"], report["stills"]) == (5, 10, 3)
    assert report["grpc_http_agree"] is True
    assert report["grpc_http_max_abs_error"] == 0
    assert report["parity"] is None
    assert report["failed"] == []
    assert report["versions"]["server"].startswith("triton ")


@pytest.mark.triton
def test_evaluate_draws_a_picture_and_prints_where_it_is(evaluate: Run, tmp_path: Path) -> None:
    done = evaluate()
    picture = Image.open(io.BytesIO((tmp_path / "out" / "predictions.png").read_bytes()))
    assert min(picture.size) > 600
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "predictions.png",
        "report.json",
    ]
    for told in ("predictions.png", "report.json", "har_temporal", "to the last bit"):
        assert told in done.out


@pytest.fixture
def reference(stand_in: RunningServer, data: Path, tmp_path: Path) -> Path:
    """What a builder would write whose graphs are off by 0.001 and whose model by 0.003."""
    path = "test/red/0.avi"
    content = (data / path).read_bytes()
    models = {}
    with Recognizer(stand_in.grpc_url) as recognizer:
        for model in ("har_base", "har_temporal"):
            served = recognizer.probabilities(content, model).astype(np.float64)
            models[model] = {
                "torch": (served + 0.003 * (np.arange(5) == 2)).tolist(),
                "onnx": (served - 0.001 * (np.arange(5) == 0)).tolist(),
            }
    sha256 = hashlib.sha256(content).hexdigest()
    file = tmp_path / "reference.json"
    clip = {"path": path, "sha256": sha256, "models": models}
    file.write_text(json.dumps({"max_abs_error": {"torch_onnx": 0.004}, "clips": [clip]}))
    return file


@pytest.mark.triton
def test_evaluate_holds_the_server_against_the_reference(
    evaluate: Run, reference: Path, tmp_path: Path
) -> None:
    assert evaluate("--reference", reference).code == 0
    parity = json.loads((tmp_path / "out" / "report.json").read_text())["parity"]
    assert parity == pytest.approx(
        {"clips": 1, "torch_onnx": 0.004, "onnx_triton": 0.001, "torch_triton": 0.003}
    )


@pytest.mark.triton
def test_a_reference_for_another_file_is_an_error(
    evaluate: Run, reference: Path, tmp_path: Path
) -> None:
    told = json.loads(reference.read_text())
    told["clips"][0]["sha256"] = "0" * 64
    reference.write_text(json.dumps(told))
    done = evaluate("--reference", reference)
    assert done.code == 2
    assert "not the file that the reference was made from" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.triton
@pytest.mark.parametrize("path", ["test/red/0.avi", "stills/red.jpg"])
def test_a_changed_file_is_an_error_and_nothing_is_written(
    evaluate: Run, data: Path, tmp_path: Path, path: str
) -> None:
    (data / path).write_bytes(b"changed")
    done = evaluate()
    assert done.code == 2
    assert f"{path}: not the file that manifest.json lists" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.triton
def test_a_file_that_the_server_refuses_is_listed_and_left_out(
    evaluate: Run, data: Path, tmp_path: Path
) -> None:
    content = b"junk"
    (data / "test/red/1.avi").write_bytes(content)  # the mislabelled one

    def list_it(manifest: dict[str, list[dict[str, str]]]) -> None:
        for clip in manifest["clips"]:
            if clip["path"] == "test/red/1.avi":
                clip["sha256"] = hashlib.sha256(content).hexdigest()

    change_manifest(data, list_it)
    done = evaluate()
    assert done.code == 1
    assert "test/red/1.avi: MEDIA: " in done.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["path"] for one in report["failed"]] == ["test/red/1.avi"]
    assert report["test_clips"] == 9
    assert report["top1"]["temporal"] == 1


@pytest.mark.triton
def test_classes_that_the_server_does_not_know_are_left_out_and_told(
    evaluate: Run, data: Path, tmp_path: Path
) -> None:
    def rename(manifest: dict[str, list[dict[str, str]]]) -> None:
        manifest["labels"].append("purple")  # type: ignore[arg-type]
        for one in (*manifest["clips"], *manifest["stills"]):
            if one["path"].split("/")[1].startswith("blue"):
                one["label"] = "purple"

    change_manifest(data, rename)
    done = evaluate()
    assert done.code == 0
    assert "left out: 2 test clips, 1 stills, 0 pairs" in done.out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["left_out"] == {"labels": ["purple"], "clips": 2, "stills": 1, "pairs": 0}
    assert (report["classes"], report["test_clips"], report["stills"]) == (5, 8, 2)
    assert report["top1"]["temporal"] == 7 / 8


@pytest.mark.triton
def test_a_server_that_knows_none_of_the_classes_is_an_error(evaluate: Run, data: Path) -> None:
    def rename(manifest: dict[str, list[dict[str, str]]]) -> None:
        manifest["labels"] = ["purple", "pink"]  # type: ignore[list-item]
        manifest["reversals"] = {}  # type: ignore[assignment]
        manifest["pairs"] = []
        for one in (*manifest["clips"], *manifest["stills"]):
            one["label"] = "purple"

    change_manifest(data, rename)
    done = evaluate()
    assert done.code == 2
    assert "The server's classes are not those of colours" in done.err


def test_a_folder_that_is_no_data_set_is_an_error(run: Run, tmp_path: Path) -> None:
    done = run("evaluate", tmp_path, "--out", tmp_path / "out")
    assert done.code == 2
    assert "manifest.json: cannot be read" in done.err
