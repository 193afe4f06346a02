import pytest

from server.log import failure_excerpt

HARMLESS = 'E1123 22:56:19.8 1 server.cc:241] "CudaDriverHelper has not been initialized."\n'
LOADING = 'I1123 22:56:19.9 1 model_lifecycle.cc:472] "loading: m:1"\n'
REFUSED = (
    "E1123 22:56:20.0 1 model_lifecycle.cc:642] \"failed to load 'm' version 1: Internal: "
    'no output Z\\n\\nAt:\\n  /a/model.py(52): initialize\\n"\n'
)


@pytest.mark.parametrize(
    ("log", "excerpt"),
    [
        (HARMLESS + LOADING + REFUSED, "m: Internal: no output Z"),
        (HARMLESS + LOADING + "error: bad flag\n", "error: bad flag"),
        (HARMLESS + LOADING, LOADING.strip()),
        ("", "(the log is empty)"),
    ],
)
def test_an_excerpt_holds_what_matters_and_no_noise(tmp_path, log, excerpt):
    (tmp_path / "log").write_text(log)
    assert failure_excerpt(tmp_path / "log") == excerpt
