"""How the time of a request is cut into steps."""

from clients.web.latency import Step, split
from clients.web.triton import Spent

MS = 10**6
MEMBERS = ["preprocess", "vision_encoder", "mean_pool", "similarity"]


def test_steps_add_up_to_the_latency() -> None:
    after = {
        "har": Spent(1, 20 * MS, 0),
        "preprocess": Spent(5, 8 * MS, 1 * MS),
        "vision_encoder": Spent(1, 6 * MS, 2 * MS),
        "mean_pool": Spent(1, 1 * MS, 0),
        "similarity": Spent(1, 1 * MS, 0),
    }
    before = {"preprocess": Spent(4, 3 * MS, 1 * MS)}
    steps = split("har", MEMBERS, before, after, 25.0)
    assert steps == [
        Step("preprocess", 5.0),
        Step("encoder", 4.0),
        Step("temporal", 1.0),
        Step("similarity", 1.0),
        Step("waiting", 9.0),
        Step("network", 5.0),
    ]


def test_models_that_others_asked_are_no_steps_and_shared_ones_are_means() -> None:
    after = {
        "har": Spent(2, 20 * MS, 0),
        "preprocess": Spent(4, 16 * MS, 0),
        "text_encoder": Spent(1, 9 * MS, 0),
    }
    steps = split("har", MEMBERS, {}, after, 10.0)
    assert steps == [Step("preprocess", 4.0), Step("waiting", 6.0), Step("network", 0.0)]


def test_model_that_is_no_ensemble_is_one_step() -> None:
    steps = split("har", [], {}, {"har": Spent(1, 5 * MS, 2 * MS)}, 6.0)
    assert steps == [Step("server", 3.0), Step("waiting", 2.0), Step("network", 1.0)]


def test_server_without_statistics_has_no_steps() -> None:
    assert split("har", MEMBERS, {}, {}, 10.0) == []


def test_steps_that_overlap_do_not_take_longer_than_the_request() -> None:
    after = {"har": Spent(1, 10 * MS, 0), "preprocess": Spent(1, 12 * MS, 0)}
    after["mean_pool"] = Spent(1, 3 * MS, 0)
    steps = split("har", MEMBERS, {}, after, 11.0)
    assert steps == [
        Step("preprocess", 8.0),
        Step("temporal", 2.0),
        Step("waiting", 0.0),
        Step("network", 1.0),
    ]


def test_a_server_that_cleans_up_after_the_answer_does_not_lengthen_it() -> None:
    after = {"har": Spent(1, 12 * MS, 0), "preprocess": Spent(1, 4 * MS, 0)}
    steps = split("har", MEMBERS, {}, after, 10.0)
    assert steps == [Step("preprocess", 4.0), Step("waiting", 6.0), Step("network", 0.0)]
