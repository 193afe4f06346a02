import platform
import sys
import sysconfig

import pytest

from server.errors import ServerError
from server.machine import check_machine, find_libpython


def test_the_library_that_is_found_is_this_python():
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert (find_libpython() / f"libpython{version}.so.1.0").exists()


def test_another_processor_is_sent_to_the_container(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(ServerError, match=r"Linux on aarch64.*container"):
        check_machine()


def test_a_python_without_numpy_1_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    with pytest.raises(ServerError, match=r"needs Python 3.10 to 3.12.*this is 3.13"):
        check_machine()


def test_a_python_without_a_shared_library_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    with pytest.raises(ServerError, match=r"install the package libpython3\.\d+;"):
        find_libpython()
