"""`genus doctor`."""

from __future__ import annotations

import importlib.metadata
import sys
import types

import pytest

from genus.cli import doctor


def test_json_shape(cli):
    found = cli("doctor", "--json").json
    assert set(found) == {"ok", "checks"}
    for check in found["checks"]:
        assert set(check) == {"name", "status", "detail", "remedy"}
        assert check["status"] in ("ok", "warning", "failed")
    names = {check["name"] for check in found["checks"]}
    assert {"python", "torch", "lightning-fabric", "threads", "bf16", "data cache", "disk"} <= names


def test_a_sound_installation_passes(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path))
    monkeypatch.setenv("GENUS_DATA", str(tmp_path))
    answer = cli("doctor")
    assert answer.code == 0, answer.out
    assert answer.last == "next: genus compare --data digits"


def test_a_data_root_that_is_not_there_fails_with_its_remedy(cli, monkeypatch):
    monkeypatch.setenv("GENUS_DATA", "/nowhere")
    answer = cli("doctor")
    assert answer.code == 1
    assert "GENUS_DATA=/nowhere is no folder" in answer.out
    assert "set GENUS_DATA to the folder of published data sets" in answer.err


def test_a_cache_that_cannot_be_written_is_found(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    monkeypatch.setenv("GENUS_CACHE", str(file))
    found = {check.name: check for check in doctor.folders()}
    assert found["data cache"].status == "failed"
    assert "GENUS_CACHE" in found["data cache"].remedy


@pytest.mark.parametrize(
    ("version", "words"), [("1.0", "but genus needs rich>=13"), (None, "not installed")]
)
def test_a_missing_or_old_package_is_found(monkeypatch, version, words):
    real = importlib.metadata.version

    def fake(name: str) -> str:
        if name != "rich":
            return real(name)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", fake)
    (check,) = [c for c in doctor.packages() if c.name == "rich"]
    assert check.status == "failed"
    assert words in check.detail
    assert check.remedy == "pip install 'rich>=13'"


def test_a_torchvision_that_breaks_is_found(monkeypatch, tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    (package / "__init__.py").write_text(broken)
    monkeypatch.syspath_prepend(str(tmp_path))
    (check,) = doctor.conflicts()
    assert (check.name, check.status) == ("torchvision", "failed")
    assert "nms does not exist" in check.detail
    assert check.remedy.startswith("pip uninstall torchvision")


def test_a_gpu_is_named(monkeypatch):
    torch = pytest.importorskip("torch")
    properties = types.SimpleNamespace(name="Some GPU", total_memory=8 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    (check,) = doctor.gpu()
    assert (check.name, check.detail) == ("gpu 0", "Some GPU, 8.0 GB")
    assert sys.modules["torch"] is torch
