"""assimp, which many engines and tools import with, reads every export and finds in it what is there."""

from __future__ import annotations

import re

import numpy as np
import pytest

from interop.cases import Export
from interop.programs import need, run


@pytest.fixture(scope="module", autouse=True)
def _assimp() -> None:
    need("assimp")


def numbers(text: str, label: str) -> list[float]:
    """The numbers of the line of `assimp info` that begins with a label."""
    found = re.search(rf"^{re.escape(label)}\s+\(?([-\d. e]+)\)?$", text, re.MULTILINE)
    assert found, f"assimp says nothing of {label}:\n{text}"
    return [float(number) for number in found[1].split()]


def test_assimp_reads(export: Export) -> None:
    text = run("assimp", "info", export.path)
    mesh = export.mesh
    assert numbers(text, "Faces:") == [export.stored]
    assert numbers(text, "Materials:") == [export.case.materials]
    used = mesh.vertices[mesh.faces].reshape(-1, 3)
    for label, bound in (("Minimum point", used.min(0)), ("Maximum point", used.max(0))):
        np.testing.assert_allclose(numbers(text, label), bound, atol=2e-6)
    textures = set(re.findall(r"^    '(.*)'$", text.split("Texture Refs:")[1], re.MULTILINE))
    assert len(textures) == export.case.textures
    if export.path.suffix == ".glb":
        assert numbers(text, "Textures (embed.):") == [export.case.textures]
    else:
        assert textures <= {file.name for file in export.files}
    assert "error" not in text.lower()
    assert "warn" not in text.lower()
