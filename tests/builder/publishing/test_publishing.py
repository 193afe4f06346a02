"""Builds into a live folder and back, without a server."""

import shutil
from functools import partial

import pytest

from builder.manifest import MANIFEST_FILE, read_manifest, verify
from builder.publishing import publish, rollback


def test_the_first_publication_makes_a_live_folder_with_every_version_named(
    write_build, served, live
):
    done = publish(write_build("one"), live.folder)
    assert (done.version, done.before, done.kept, done.told) == (1, None, (1,), False)
    assert live.answers() == served("e1", "h1", "t1")
    assert verify(live.folder) == []
    assert not (live.folder / ".staging").exists()


def test_only_what_changed_gets_the_next_version(write_build, served, live):
    publish(write_build("one"), live.folder)
    done = publish(write_build("two", head="h2"), live.folder)
    assert (done.version, done.before, done.places, done.kept) == (2, 1, ("head/2",), (1, 2))
    assert live.answers() == served("e1", "h2", "t1")
    assert (live.versions("encoder"), live.versions("head")) == ([1], [1, 2])
    assert live.loaded("head") == [1, 2]
    assert verify(live.folder) == []


def test_the_manifest_says_what_is_served_and_where_it_came_from(write_build, live):
    one, two = write_build("one"), write_build("two", head="h2")
    publish(one, live.folder)
    publish(two, live.folder)
    manifest = read_manifest(live.folder)
    assert manifest.models["head"].file == "head/2/model.onnx"
    assert manifest.models["encoder"].file == "encoder/1/model.onnx"
    builds = {number: record.build for number, record in manifest.versions.items()}
    assert builds == {1: read_manifest(one).build, 2: read_manifest(two).build}
    assert (manifest.version, manifest.standby, manifest.pending) == (2, 1, ())
    assert (live.folder / "reference.json").read_text() == "two\n"


def test_a_folder_that_was_only_built_can_be_published_into(write_build, served, live_at):
    write_build("one")
    live = live_at("one")
    publish(write_build("two", encoder="e2", head="h2"), live.folder)
    assert live.answers() == served("e2", "h2", "t1")
    assert rollback(live.folder).version == 1
    assert live.answers() == served("e1", "h1", "t1")


def test_a_rollback_serves_the_version_before_and_its_record(write_build, served, live):
    publish(write_build("one"), live.folder)
    publish(write_build("two", encoder="e2", text="t2"), live.folder)
    publish(write_build("three", head="h3"), live.folder)
    for version, told in ((2, served("e2", "h1", "t2")), (1, served("e1", "h1", "t1"))):
        done = rollback(live.folder)
        assert (done.version, done.before) == (version, version + 1)
        assert live.answers() == told
        assert verify(live.folder) == []
    assert (live.folder / "reference.json").read_text() == "one\n"
    with pytest.raises(ValueError, match="serves version 1 and holds no older one"):
        rollback(live.folder)


def test_versions_go_on_counting_after_a_rollback(write_build, served, live):
    two = write_build("two", head="h2")
    publish(write_build("one"), live.folder)
    publish(two, live.folder)
    rollback(live.folder)
    done = publish(write_build("three", head="h3"), live.folder)
    assert (done.version, done.places) == (3, ("head/3",))
    assert publish(two, live.folder).version == 4
    assert live.answers() == served("e1", "h2", "t1")
    assert rollback(live.folder).version == 3


def test_publishing_the_same_build_again_changes_nothing(write_build, live):
    two = write_build("two", head="h2")
    publish(write_build("one"), live.folder)
    publish(two, live.folder)
    before = live.files()
    loaded = []

    def watched(steps, title, total):
        for step in steps:
            yield step
            loaded.append(live.loaded("head"))

    done = publish(two, live.folder, progress=watched)
    assert (done.version, done.fresh, done.places) == (2, False, ())
    assert live.files() == before
    assert all(versions == [1, 2] for versions in loaded), "the standby stays"


def test_a_graph_with_another_configuration_gets_a_folder_of_its_own(write_build, served, live):
    """Versions of one Triton model share its config.pbtxt, so version 1 would change too."""
    publish(write_build("one"), live.folder)
    publish(write_build("two", encoder="e2", threads=2), live.folder)
    assert live.answers() == served("e2", "h1", "t1")
    assert (live.loaded("encoder"), live.loaded("encoder_v2")) == ([1], [2])
    parameters = live.config("encoder").parameters
    assert parameters["intra_op_thread_count"].string_value == "1"
    done = publish(write_build("three", encoder="e3", threads=2), live.folder)
    assert done.places == ("encoder_v2/3",)
    assert not (live.folder / "model_repository" / "encoder").exists()
    rollback(live.folder)
    assert live.answers() == served("e2", "h1", "t1")
    rollback(live.folder)
    assert live.answers() == served("e1", "h1", "t1")
    assert verify(live.folder) == []


def test_what_both_versions_share_is_set_as_the_served_one_wants_it(write_build, live, edit):
    one, two = write_build("one"), write_build("two", encoder="e2")
    for build, frames in ((one, 4), (two, 8)):
        setting = f'parameters {{ key: "frames_per_run" value {{ string_value: "{frames}" }} }}'
        edit(build, "encoder", "parameters", f"{setting} parameters")
    told = []
    for move in (partial(publish, one), partial(publish, two), rollback):
        move(live.folder)
        told.append(live.config("encoder").parameters["frames_per_run"].string_value)
    assert (live.loaded("encoder"), told) == ([1, 2], ["4", "8", "4"])


def test_old_versions_are_forgotten_but_never_the_live_ones(write_build, served, live):
    for number in range(1, 5):
        done = publish(write_build(f"build{number}", head=f"h{number}"), live.folder, keep=1)
    assert done.kept == (3, 4)
    assert live.versions("head") == [3, 4]
    assert live.versions("encoder") == [1]
    rollback(live.folder)
    assert live.answers() == served("e1", "h3", "t1")
    publish(write_build("build5", head="h5"), live.folder, keep=1)
    assert rollback(live.folder).version == 3
    with pytest.raises(ValueError, match="keep is 0: expected 1 or more"):
        publish(write_build("build6"), live.folder, keep=0)


@pytest.mark.parametrize(
    ("model", "old", "new", "reason"),
    [
        ("text", "dims: [4]", "dims: [5]", r"text: its inputs are X \[5\], served are X \[4\]"),
        ("text", "TYPE_FP32", "TYPE_FP16", "text: its inputs are"),
        ("chain_a", "max_batch_size: 8", "max_batch_size: 4", "max_batch_size falls from 8 to 4"),
    ],
)
def test_what_would_break_clients_is_refused(
    write_build, edit, live, model: str, old: str, new: str, reason: str
):
    build = write_build("two", head="h2")
    publish(write_build("one"), live.folder)
    before, manifest = live.files(), (live.folder / MANIFEST_FILE).read_text()
    edit(build, model, old, new)
    with pytest.raises(ValueError, match=f"(?s)would break clients.*{reason}"):
        publish(build, live.folder)
    assert (live.files(), (live.folder / MANIFEST_FILE).read_text()) == (before, manifest)


def test_other_labels_and_missing_models_are_refused(write_build, edit, live):
    publish(write_build("one"), live.folder)
    with pytest.raises(ValueError, match="chain_a: label 1 is 'jump', served is 'walk'"):
        publish(write_build("two", labels="run\njump\n"), live.folder)
    with pytest.raises(ValueError, match="chain_b: 1 labels, served are 2"):
        publish(write_build("three", labels="run\n"), live.folder)
    gone = write_build("four")
    shutil.rmtree(gone / "model_repository" / "chain_b")
    edit(gone, "text", "[4]", "[4]")
    with pytest.raises(ValueError, match="chain_b disappears"):
        publish(gone, live.folder)


def test_frames_and_image_size_of_preprocessing_are_a_promise(write_build, live):
    publish(write_build("one", frames=8), live.folder)
    with pytest.raises(ValueError, match="preprocess: frames is 16, served is 8"):
        publish(write_build("two", frames=16), live.folder)


def test_a_damaged_build_is_refused(write_build, live):
    two = write_build("two", head="h2")
    publish(write_build("one"), live.folder)
    (two / "model_repository" / "head" / "1" / "model.onnx").write_text("h")
    with pytest.raises(ValueError, match=r"(?s)is damaged.*head/1/model.onnx has changed"):
        publish(two, live.folder)


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        ("chain_a", "model_version: 1", "model_version: -1"),
        ("head", "version_policy { specific { versions: [1] } }", "version_policy { latest { } }"),
    ],
)
@pytest.mark.parametrize("loose", ["one", "two"], ids=["served", "new"])
def test_a_build_that_takes_what_is_newest_is_refused(
    write_build, live_at, edit, loose, model, old, new
):
    """Its requests on the way would meet the next version's models."""
    one, two = write_build("one"), write_build("two", head="h2")
    edit(live_at(loose).folder, model, old, new)
    advice = {"one": "publish into a new live folder", "two": "build it again"}[loose]
    with pytest.raises(ValueError, match=f"(?s){advice}.*{model} loads or calls whichever"):
        publish(two, one)


def test_a_live_folder_that_somebody_changed_is_refused(write_build, live):
    publish(write_build("one"), live.folder)
    with (live.folder / "model_repository" / "head" / "config.pbtxt").open("a") as file:
        file.write("# by hand\n")
    with pytest.raises(ValueError, match=r"(?s)is not what was published.*head/config.pbtxt"):
        publish(write_build("two", head="h2"), live.folder)


def test_a_damaged_version_is_not_gone_back_to(write_build, live):
    publish(write_build("one"), live.folder)
    publish(write_build("two", head="h2"), live.folder)
    damaged = live.folder / "history" / "1" / "model_repository" / "head" / "1" / "model.onnx"
    damaged.write_text("h")
    with pytest.raises(ValueError, match=r"(?s)is damaged, so it is not gone back to"):
        rollback(live.folder)
    assert live.answers()["chain_a"] == ["e1", "h2"]


def test_an_ensemble_in_an_ensemble_is_refused(write_build, edit, live):
    build = write_build("one")
    edit(build, "chain_b", 'model_name: "head"', 'model_name: "chain_a"')
    with pytest.raises(ValueError, match="chain_a is an ensemble in one"):
        publish(build, live.folder)


def test_two_publications_at_once_are_refused(write_build, live):
    two = write_build("two", head="h2")
    publish(write_build("one"), live.folder)

    def during(steps, title, total):
        with pytest.raises(ValueError, match="another publish or rollback is at work"):
            publish(two, live.folder)
        return steps

    publish(two, live.folder, progress=during)
    assert live.answers()["chain_a"] == ["e1", "h2"]


def test_a_wrong_address_is_named_before_anything_changes(write_build, live):
    publish(write_build("one"), live.folder)
    before = live.files()
    with pytest.raises(ValueError, match=r"127.0.0.1:9: no Triton answers there over gRPC"):
        publish(write_build("two", head="h2"), live.folder, url="127.0.0.1:9")
    assert live.files() == before
