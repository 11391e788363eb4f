"""Exports and renderings that all programs' tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from interop.cases import CASES, Export, export_all
from interop.pictures import Picture, our_pictures
from interop.relief import Relief, export_reliefs

HERE = Path(__file__).parent
PAIRS = [(name, ending) for name, case in CASES.items() for ending in case.endings]
Exports = dict[tuple[str, str], Export]
Reliefs = dict[str, Relief]
Ours = Callable[[Export], tuple[list[Picture], list[Picture]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an `export` goes over all of them, one with a `gltf` over those that are glTF."""
    for argument, endings in (("export", ("obj", "glb", "gltf")), ("gltf", ("glb", "gltf"))):
        if argument in metafunc.fixturenames:
            pairs = [pair for pair in PAIRS if pair[1] in endings]
            metafunc.parametrize(argument, pairs, indirect=True, ids=".".join)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Everything, exported once."""
    return export_all(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def reliefs(tmp_path_factory: pytest.TempPathFactory) -> Reliefs:
    """What has relief, exported once."""
    return export_reliefs(tmp_path_factory.mktemp("reliefs"))


@pytest.fixture
def export(request: pytest.FixtureRequest, exports: Exports) -> Export:
    return exports[request.param]


@pytest.fixture
def gltf(request: pytest.FixtureRequest, exports: Exports) -> Export:
    return exports[request.param]


@pytest.fixture(scope="session")
def ours(exports: Exports) -> Ours:
    """texopt's pictures of an export, and what they would be with the textures upside down."""

    @cache
    def pictures(name: str) -> tuple[list[Picture], list[Picture]]:
        result = next(export.result for export in exports.values() if export.name == name)
        return our_pictures(result), our_pictures(result, flip=True)

    return lambda export: pictures(export.name)
