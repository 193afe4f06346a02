from clients.selection import spread
from clip_har.dataset import Sample


def samples(*labels: str) -> list[Sample]:
    return [Sample(path=f"{n}", label=label, sha256="") for n, label in enumerate(labels)]


def paths(chosen: list[Sample]) -> list[str]:
    return [one.path for one in chosen]


def test_every_class_comes_once_before_any_comes_twice() -> None:
    assert paths(spread(samples("a", "a", "a", "b", "c", "c"), 5)) == ["0", "3", "4", "1", "5"]


def test_many_classes_are_taken_at_even_distances() -> None:
    assert paths(spread(samples(*"abcdef"), 3)) == ["0", "2", "4"]


def test_few_samples_are_all_taken() -> None:
    assert paths(spread(samples("a", "b"), 9)) == ["0", "1"]
    assert spread([], 9) == []
