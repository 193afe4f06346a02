import pytest

import server.installation as installation
from clip_har.product import INPUTS_FILE
from server.discovery import WHEEL_TREE, TritonServer, wheel_executable
from server.environment import VENV, read_environment
from server.errors import ServerError

pytestmark = pytest.mark.triton


def test_the_serving_environment_holds_what_the_constraints_pin(installed):
    environment = read_environment(VENV)
    pins = installation.CONSTRAINTS.read_text()
    assert f"numpy=={environment.numpy}\n" in pins
    assert f"onnxruntime=={environment.onnxruntime}" in pins
    assert not list(VENV.glob("lib/python3.*/site-packages/torch"))


def test_an_installation_without_its_mark_is_not_taken_for_complete(
    installed, tmp_path, monkeypatch
):
    assert installation._venv_is_current()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(VENV / "bin" / "python")
    monkeypatch.setattr(installation, "VENV", tmp_path)
    assert not installation._venv_is_current()
    (tmp_path / INPUTS_FILE).write_text((VENV / INPUTS_FILE).read_text())
    assert installation._venv_is_current()


def test_a_failed_download_leaves_no_server_behind(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "WHEEL_TREE", tmp_path / "server")
    monkeypatch.setattr(installation, "WHEEL", "nvidia-pytriton==0.0.0.0")
    with pytest.raises(ServerError, match="run again: python -m server install"):
        installation._install_wheel()
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_holds_the_backends_that_its_release_lacks(installed):
    server = TritonServer(wheel_executable(WHEEL_TREE))
    if not server.executable.exists():  # a machine with a Triton of its own
        assert installation.system_server() is not None
        return
    assert server.version_text == "2.51.0"
    assert "onnxruntime" in server.python_backends
    assert "model-repository" in server.options()
