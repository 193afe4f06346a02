"""Texts to what is encoded, and the memory of it. B rows of N texts, R sentences, D embedding."""

from pathlib import Path

import numpy as np
import pytest

from clip_har.checkpoint import model_from_checkpoint, tokenizer_from_checkpoint
from clip_har.texts import Lookup, TextBank, TextError, TextSettings
from clip_har.tokenizer import TOKENIZER_FILE, Tokenizer, padded, tokenizer_file

PROMPTS = '["a person {}", "someone {}"]'
SETTINGS = {"prompts": PROMPTS, "max_tokens": "77", "encoder_batch": "3", "max_texts": "4"}
WORDS = ("walking", "Kick  a BALL!", "größer", "日本", "don't", "x" * 60, "<|endoftext|> run")


@pytest.fixture(scope="session")
def tokenizer(small_clip: Path) -> Tokenizer:
    return Tokenizer(small_clip / TOKENIZER_FILE)


@pytest.fixture
def bank(tokenizer: Tokenizer) -> TextBank:
    return TextBank(TextSettings.from_table(SETTINGS, "test"), tokenizer)


def texts(*rows: list[str]) -> np.ndarray:
    """(B, N)"""
    return np.array([[text.encode() for text in row] for row in rows], object)


def told(bank: TextBank, lookup: Lookup) -> np.ndarray:
    """The texts, encoded by a stand-in whose embedding of a sentence is its length."""
    encoded = {s: np.array([len(s), 1], np.float32) for s in lookup.unknown}
    return bank.embeddings(lookup, encoded)


def test_tokens_are_those_of_transformers(tokenizer: Tokenizer, checkpoints: Path) -> None:
    folder = checkpoints / "temporal"
    theirs = tokenizer_from_checkpoint(folder, model_from_checkpoint(folder))
    expected = theirs(list(WORDS)).input_ids
    assert tokenizer.ids(WORDS) == expected
    tokens = padded(expected)
    assert tokens.dtype == np.int64
    assert tokens.shape == (len(WORDS), max(map(len, expected)))
    for row, ids in zip(tokens.tolist(), expected, strict=True):
        assert row[: len(ids)] == ids
        assert set(row[len(ids) :]) <= {theirs.eos_token_id}


def test_a_checkpoint_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no tokenizer\.json in it"):
        tokenizer_file(tmp_path)


def test_names_are_put_into_every_prompt_and_texts_are_not(bank: TextBank) -> None:
    named = bank.look_up(texts(["run", "walk"]), names=True)
    assert set(named.unknown) == {
        f"{who} {what}" for who in ("a person", "someone") for what in ("run", "walk")
    }
    assert set(bank.look_up(texts(["run", "walk"]), names=False).unknown) == {"run", "walk"}


def test_a_name_is_the_mean_of_its_sentences_at_unit_length(bank: TextBank) -> None:
    rows = told(bank, bank.look_up(texts(["run"]), names=True))
    mean = np.array([(len("a person run") + len("someone run")) / 2, 1])
    assert rows[0, 0] == pytest.approx(mean / np.linalg.norm(mean))


def test_rows_keep_their_order_and_repeated_texts_are_asked_once(bank: TextBank) -> None:
    lookup = bank.look_up(texts(["bb", "a"], ["a", "bb"]), names=False)
    assert set(lookup.unknown) == {"a", "bb"}
    rows = told(bank, lookup)
    assert rows.shape == (2, 2, 2)
    assert rows[0].tolist() == rows[1, ::-1].tolist()
    assert rows[0, 0, 0] > rows[0, 1, 0]


def test_what_was_encoded_is_remembered_and_the_longest_unused_forgotten(
    tokenizer: Tokenizer,
) -> None:
    settings = TextSettings.from_table(SETTINGS | {"cached_texts": "2"}, "test")
    bank = TextBank(settings, tokenizer)
    for word in ("one", "two", "one", "three"):  # "two" is the longest unused
        told(bank, bank.look_up(texts([word]), names=False))
    lookup = bank.look_up(texts(["one", "two", "three"]), names=False)
    assert set(lookup.unknown) == {"two"}
    assert told(bank, lookup).shape == (1, 3, 2), "known ones are at hand though memory is small"


def test_no_memory_is_allowed(tokenizer: Tokenizer) -> None:
    settings = TextSettings.from_table(SETTINGS | {"cached_texts": "0"}, "test")
    bank = TextBank(settings, tokenizer)
    for _ in range(2):
        lookup = bank.look_up(texts(["one", "two"]), names=False)
        assert set(lookup.unknown) == {"one", "two"}
        told(bank, lookup)


def test_portions_are_no_larger_than_the_encoder_takes_and_padded_little(bank: TextBank) -> None:
    sentences = {str(n): list(range(n)) for n in (9, 2, 8, 3, 7, 4, 6)}
    portions = list(bank.batches(sentences))
    assert [tokens.shape for _, tokens in portions] == [(3, 4), (3, 8), (1, 9)]
    assert sorted(name for names, _ in portions for name in names) == sorted(sentences)
    assert list(bank.batches({})) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["run", " \t"], "Text 2 of 2 is empty"),
        (["a"] * 5, r"5 texts were sent, but a request has 1 to 4 \(max_texts\)"),
        (["x" * 2001], r"Text 1 of 1 has 2001 bytes, but the limit is 2000 \(max_bytes\)"),
        (["a", "b" * 99], r"Text 2 of 2 has \d+ tokens as 'a person b.*reads 77 \(max_tokens\)"),
    ],
)
def test_bad_texts_are_named_with_the_limit(bank: TextBank, row: list[str], message: str) -> None:
    with pytest.raises(TextError, match=message):
        bank.look_up(texts(row), names=True)


def test_bytes_that_are_no_text_are_named(bank: TextBank) -> None:
    with pytest.raises(TextError, match=r"Text 1 of 1 is not UTF-8: b'\\xff'"):
        bank.look_up(np.array([[b"\xff"]], object), names=False)


def test_a_refused_text_leaves_nothing_behind(bank: TextBank) -> None:
    with pytest.raises(TextError):
        bank.look_up(texts(["good", ""]), names=False)
    assert set(bank.look_up(texts(["good"]), names=False).unknown) == {"good"}
