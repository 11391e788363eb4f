"""What a run does without, so that it starts soon."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MESHES, STYLES

from texopt.raster.kernels import is_cached

HEAVY = ["timm", "torchvision", "torch._dynamo", "matplotlib", "scipy.sparse", "ray", "viser", "IPython"]
RUN = ["style", str(MESHES / "creature.obj"), str(STYLES / "mosaic.jpg"), "--steps", "1"]
SMALL = ["--texture-size", "32", "--view-size", "64", "--coarse", "0"]


def imported(code: str, *arguments: str) -> set[str]:
    """Which of the heavy packages a program imports."""
    code += f"\nimport sys; print({{*{HEAVY}}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    found: set[str] = eval(done.stdout.strip().splitlines()[-1])
    return found


def test_a_run_with_the_default_network_imports_no_heavy_package(tmp_path: Path) -> None:
    code = "import sys; from texopt.cli.main import main; assert main(sys.argv[1:]) == 0"
    assert imported(code, *RUN, *SMALL, "--out", str(tmp_path)) == set()
    assert (tmp_path / "loss.png").exists()


@pytest.mark.slow
def test_the_package_and_its_drawing_import_no_heavy_package() -> None:
    code = f"""
import texopt, texopt.optim.result
mesh = texopt.load_mesh({str(MESHES / "creature.obj")!r})
texopt.optim.result.Result(mesh, texopt.PixelTexture(8), []).preview()"""
    assert imported(code) == set()


def test_a_kernel_is_known_to_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_kernel.py").write_text(
        "from texopt.raster.kernels import kernel\n\n@kernel\ndef twice(x):\n    return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    twice = importlib.import_module("own_kernel").twice
    assert not is_cached(twice)
    assert twice(3) == 6
    assert is_cached(twice)


def test_a_compiled_kernel_is_loaded_without_the_compiler(tmp_path: Path) -> None:
    (tmp_path / "own_kernel.py").write_text(
        "from texopt.raster.kernels import kernel\n\n@kernel\ndef twice(x):\n    return 2 * x\n"
    )
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from own_kernel import twice
assert twice(3) == 6
print("numba.np.arraymath" in sys.modules)
import numba
assert twice(1.5) == 3.0 and numba.njit(lambda x: x + 1)(2) == 3"""
    said = [
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    assert said == ["True\n", "False\n", "False\n"]


def test_help_is_printed_without_torch() -> None:
    code = "import sys; from texopt.cli.main import main; main(['--help']); print({'torch', 'numba'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "set()"
