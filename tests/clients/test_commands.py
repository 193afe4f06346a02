"""zero-shot, embed, search, stream, timeline and bench, against the stand-in."""

import csv
import io
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from server.process import RunningServer

pytestmark = pytest.mark.triton
Run = Callable[..., Any]
GRPC_AND_HTTP = pytest.mark.parametrize("protocol", ["grpc", "http"])


@pytest.fixture
def ask(run: Run, stand_in: RunningServer) -> Run:
    """Runs a command against the stand-in."""
    urls = {"grpc": stand_in.grpc_url, "http": stand_in.http_url}

    def command(name: str, *arguments: object, protocol: str = "grpc") -> Any:
        spoken = () if name == "timeline" else ("--protocol", protocol)
        return run(name, *arguments, "--url", urls[protocol], *spoken)

    return command


@pytest.fixture
def clip(data: Path) -> Path:
    return data / "test" / "darkening" / "0.avi"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@GRPC_AND_HTTP
def test_zero_shot_ranks_the_texts(ask: Run, clip: Path, protocol: str) -> None:
    texts = ("--text", "red", "--text", "darkening", "--text", "a dog, or so")
    done = ask("zero-shot", clip, *texts, "--json", protocol=protocol)
    assert done.code == 0
    (line,) = done.lines
    assert line["predictions"][0]["label"] == "darkening"
    table = ask("zero-shot", clip, *texts, "--top-k", 1, "--csv", protocol=protocol)
    (row,) = rows(table.out)
    assert (row["rank"], row["label"], row["error"]) == ("1", "darkening", "")


def test_a_bad_file_is_a_row_with_its_error(ask: Run, clip: Path) -> None:
    bad = clip.with_name("bad.mp4")
    bad.write_bytes(b"junk")
    done = ask("classify", clip, bad, "--top-k", 2, "--csv")
    assert done.code == 1
    assert [(row["rank"], row["kind"]) for row in rows(done.out)] == [
        ("1", ""),
        ("2", ""),
        ("", "invalid_media"),
    ]


def test_json_and_csv_exclude_each_other(ask: Run, clip: Path) -> None:
    done = ask("classify", clip, "--json", "--csv")
    assert (done.code, "exclude each other" in done.err) == (2, True)


@GRPC_AND_HTTP
def test_embed_gives_vectors_of_files_and_texts(
    ask: Run, data: Path, tmp_path: Path, protocol: str
) -> None:
    out = tmp_path / "vectors.npz"
    stills = data / "stills"
    done = ask("embed", stills, "--text", "red", "--out", out, "--json", protocol=protocol)
    assert done.code == 0
    with np.load(out, allow_pickle=False) as file:
        names, vectors = file["names"].tolist(), file["vectors"]
    assert [Path(name).name for name in names] == ["blue.jpg", "green.jpg", "red.jpg", "red"]
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert [line["name"] for line in done.lines] == names
    assert np.array([line["vector"] for line in done.lines], np.float32) == pytest.approx(vectors)
    table = rows(ask("embed", stills, "--csv").out)
    assert float(table[0]["4"]) == pytest.approx(vectors[0, 4])
    assert "... 5 numbers" in ask("embed", stills).out


def test_embed_needs_something(ask: Run) -> None:
    assert "nothing to embed" in ask("embed").err


@GRPC_AND_HTTP
def test_search_finds_what_fits_and_sends_each_file_once(
    ask: Run, data: Path, protocol: str
) -> None:
    stills = data / "stills"
    first = ask("search", stills, "green", "--json", protocol=protocol)
    assert first.code == 0
    assert Path(first.lines[0]["path"]).name == "green.jpg"
    assert "wrote" in first.err
    index = stills / ".clip-har-index.npz"
    written = index.stat().st_mtime_ns
    again = ask("search", stills, "blue", "--top-k", 1, "--csv", protocol=protocol)
    assert [Path(row["path"]).name for row in rows(again.out)] == ["blue.jpg"]
    assert index.stat().st_mtime_ns == written
    Image.new("RGB", (64, 48), (0, 0, 255)).save(stills / "green.jpg")
    (stills / "red.jpg").unlink()
    changed = ask("search", stills, "green", "--json", protocol=protocol)
    assert [round(line["score"], 2) for line in changed.lines] == [0.11, 0.11]


def test_search_tells_of_bad_files_and_writes_nothing_if_told(ask: Run, data: Path) -> None:
    (data / "stills" / "bad.jpg").write_bytes(b"junk")
    done = ask("search", data / "stills", "red", "--no-remember")
    assert done.code == 1
    assert "bad.jpg: MEDIA: " in done.err
    assert "red.jpg" in done.out
    assert not (data / "stills" / ".clip-har-index.npz").exists()


def test_search_tells_what_it_found_even_where_it_can_keep_nothing(ask: Run, data: Path) -> None:
    (data / "stills" / "..clip-har-index.npz.partial").mkdir()  # in the way of the index
    done = ask("search", data / "stills", "red", "--json")
    assert done.code == 0
    assert Path(done.lines[0]["path"]).name == "red.jpg"
    assert "the vectors cannot be kept there: Is a directory" in done.err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"junk"])
def test_a_damaged_index_is_nothing_remembered(ask: Run, data: Path, content: bytes) -> None:
    (data / "stills" / ".clip-har-index.npz").write_bytes(content)
    done = ask("search", data / "stills", "red", "--json")
    assert (done.code, len(done.lines)) == (0, 3)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("embed", "--out"),
        ("classify", "--render"),
        ("stream", "--render"),
        ("timeline", "--render"),
        ("timeline", "--png"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    ask: Run, clip: Path, command: str, option: str
) -> None:
    done = ask(command, clip, option, clip / "out.mp4")  # below a file
    assert done.code == 1
    assert f"error: {clip}: File exists." in done.err


def test_search_wants_a_folder(ask: Run, clip: Path) -> None:
    assert "not a folder" in ask("search", clip, "red").err


@GRPC_AND_HTTP
def test_stream_answers_frames_of_a_file_in_real_time(
    ask: Run, clip: Path, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.live.MOST_LATE", math.inf)  # however busy the machine is
    out = tmp_path / "out.mp4"
    done = ask("stream", clip, "--rate", 5, "--json", "--render", out, protocol=protocol)
    assert done.code == 0
    assert [line["time"] for line in done.lines] == pytest.approx([0, 0.2, 0.4])
    assert done.lines[-1]["predictions"][0]["label"] == "darkening"
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) == 5
    short = rows(ask("stream", clip, "--csv", "--top-k", 1, "--seconds", 0.1).out)
    assert [row["time"] for row in short] == ["0.0"]
    assert "darkening" in ask("stream", clip).out


def test_an_interrupt_ends_a_stream_in_good_order(
    ask: Run, movie: Callable[..., bytes], tmp_path: Path
) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "out.mp4"
    clip.write_bytes(movie(6000, draw=lambda *_: np.full((48, 64, 3), 128, np.uint8)))
    timer = Timer(3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    done = ask("stream", clip, "--render", out)
    timer.join()
    assert done.code == 0
    with av.open(str(out)) as container:
        assert 0 < len(list(container.decode(video=0))) < 6000


def test_timeline_prints_draws_and_renders(ask: Run, clip: Path, tmp_path: Path) -> None:
    picture, video = tmp_path / "out.png", tmp_path / "out.mp4"
    done = ask("timeline", clip, "--json", "--png", picture, "--render", video)
    assert done.code == 0
    assert [(line["start"], line["end"]) for line in done.lines] == [(n, n + 1) for n in range(5)]
    with Image.open(picture) as opened:
        assert opened.format == "PNG"
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == 5
    assert [row["start"] for row in rows(ask("timeline", clip, "--csv").out)][:2] == ["0.0", "1.0"]
    assert "0:01.0 to    0:02.0" in ask("timeline", clip).out


def test_classify_renders_one_file(ask: Run, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert ask("classify", clip, "--render", out).code == 0
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) == 5
    done = ask("classify", clip.parent, "--render", out)
    assert (done.code, "one file, but there are 2" in done.err) == (2, True)


@GRPC_AND_HTTP
def test_bench_counts_answers_and_errors(ask: Run, clip: Path, protocol: str) -> None:
    given = ("--seconds", 0.5, "--concurrency", 1, "--concurrency", 3)
    done = ask("bench", clip.parent, *given, "--json", protocol=protocol)
    assert done.code == 0
    assert [line["concurrency"] for line in done.lines] == [1, 3]
    for line in done.lines:
        assert line["answers"] > 0
        assert line["errors"] == 0
        assert line["p50_ms"] <= line["p95_ms"] <= line["p99_ms"]
        rate = line["answers"] / line["seconds"]
        assert line["answers_per_second"] == pytest.approx(rate, rel=0.01)
    busy = ask("bench", clip, "--model", "har_slow", "--concurrency", 4, "--seconds", 0.5)
    assert busy.code == 1
    assert "server_overloaded" in busy.out


def test_bench_as_csv(ask: Run, clip: Path) -> None:
    done = ask("bench", clip, "--seconds", 0.2, "--concurrency", 1, "--csv")
    assert int(rows(done.out)[0]["answers"]) > 0
    assert json.loads(rows(done.out)[0]["errors"]) == 0
