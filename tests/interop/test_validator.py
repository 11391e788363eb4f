"""Khronos' glTF-Validator has nothing against what is exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interop.cases import Export
from interop.conftest import Exports, Reliefs
from interop.programs import MODULES, need, run

SEVERITIES = ("error", "warning", "information", "hint")
Reports = dict[str, Any]


def validate(*files: Path) -> Reports:
    """The validator's reports by file."""
    need("node", MODULES / "gltf-validator")
    reports: Reports = json.loads(run("node", Path(__file__).with_name("validate.mjs"), MODULES, *files))
    return reports


@pytest.fixture(scope="module")
def reports(exports: Exports) -> Reports:
    return validate(*[export.path for export in exports.values() if export.path.suffix in (".glb", ".gltf")])


def messages_of(issues: dict[str, Any]) -> list[str]:
    """What the validator says, but for hints."""
    return [
        f"{SEVERITIES[each['severity']]}: {each['code']} {each.get('pointer', '')}: {each['message']}"
        for each in issues["messages"] if each["severity"] <= 2
    ]  # fmt: skip


def test_no_errors_and_no_warnings(gltf: Export, reports: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    report = reports[str(gltf.path)]
    issues = report["issues"]
    messages = messages_of(issues)
    assert issues["numErrors"] == issues["numWarnings"] == 0, "\n".join(messages)
    if messages:
        with capsys.disabled():
            print(f"\n{gltf.path.name}:", *messages, sep="\n  ")
    info = report["info"]
    assert info["totalTriangleCount"] == gltf.stored
    assert info["materialCount"] == gltf.case.materials
    assert info["hasTextures"]


def test_relief_is_valid(reliefs: Reliefs) -> None:
    files = [relief.path for relief in reliefs.values() if relief.path.suffix == ".glb"]
    for report in validate(*files).values():
        assert messages_of(report["issues"]) == []
        assert report["info"]["materialCount"] == 1
        assert len(report["info"]["resources"]) == 4  # the buffer, and three images


def test_the_validator_finds_what_is_wrong(exports: Exports, tmp_path: Path) -> None:
    data = next(export.path for export in exports.values() if export.path.suffix == ".glb").read_bytes()
    broken = tmp_path / "broken.glb"
    broken.write_bytes(data.replace(b'"VEC3"', b'"VEC4"'))
    assert validate(broken)[str(broken)]["issues"]["numErrors"] > 0
