"""The bundled style pictures."""

from pathlib import Path

import pytest
from conftest import STYLES
from PIL import Image


def test_every_picture_is_made_by_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the folder is what scripts/make_styles.py makes, one for one."""
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    import make_styles

    assert {path.name for path in STYLES.iterdir()} == {f"{name}.jpg" for name in make_styles.MAKERS}


@pytest.mark.parametrize("path", sorted(STYLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_pictures_are_small_files_of_one_size(path: Path) -> None:
    with Image.open(path) as picture:
        assert (picture.size, picture.mode) == ((1024, 768), "RGB")
        picture.load()
    assert path.stat().st_size < 450_000
