"""A viewer's page in a browser, and texopt's own picture of what it shows at first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from interop.browser import Browser, Page
from interop.programs import need
from texopt.render.backgrounds import composite
from texopt.render.cameras import Cameras, fit_distance, orbit
from texopt.render.fragments import Fragments
from texopt.show.preview import BACKGROUND

WIDTH, HEIGHT, TOOLBAR = 800, 596, 96
FOV_Y = 25.0
SIDE = HEIGHT - TOOLBAR  # the model is in a square above the toolbar
LEFT = (WIDTH - SIDE) // 2


@contextmanager
def opened(page: bytes, folder: Path) -> Iterator[Page]:
    """The page in a browser, once it shows its model."""
    need("chromium")
    path = folder / "viewer.html"
    path.write_bytes(page)
    with Browser() as browser:
        tab = browser.open(path.as_uri(), (WIDTH, HEIGHT))
        tab.wait_for("window.texopt && window.texopt.ready")
        yield tab


def press(page: Page, key: str, code: int = 0) -> None:
    """Press and let go a key; what the browser itself does with it needs its code (KeyboardEvent.keyCode)."""
    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


def pixels(page: Page) -> np.ndarray:
    """The square that the model is in, without what lies over it: float64 [SIDE,SIDE,3]."""
    overlays = "document.querySelectorAll('header, nav, #divider').forEach(each => each.style.opacity = {})"
    page.evaluate(overlays.format(0))
    shot = page.screenshot().crop((LEFT, 0, LEFT + SIDE, SIDE))
    page.evaluate(overlays.format(1))
    return np.asarray(shot).astype(np.float64)


def page_cameras(azimuth: float = 30.0, elevation: float = 15.0, zoom: float = 1.0) -> Cameras:
    """The page's camera."""
    fov_y = 2 * math.degrees(math.atan(zoom * math.tan(math.radians(FOV_Y / 2))))
    return orbit(torch.tensor([azimuth]), torch.tensor([elevation]), fit_distance(FOV_Y), fov_y)


def developed(colors: Tensor, fragments: Fragments) -> np.ndarray:
    """Colours [1,3,2 SIDE,2 SIDE] in [0,1] at fragments as the page's square has them: float64 [SIDE,SIDE,3]."""
    view = composite(colors, fragments.mask[:, None], BACKGROUND)
    return avg_pool2d(view, 2)[0].permute(1, 2, 0).double().numpy() * 255
