"""What pyproject.toml cannot say of the package: its description for indexes, and the inputs of `texopt demo`.

The description is README.md without pictures and links that lead into the repository, where the reader of an index is
not.
"""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
INSIDE = r"\((?!https?://)[^)]*\)"  # the target of a link that is no address
DEMO = ("meshes/creature.obj", "meshes/creature.mtl", "meshes/creature.png", "meshes/styles/brush.jpg")


def description(readme: str) -> str:
    captioned = rf"^!\[[^\]]*\]{INSIDE}\n\n(\*[^*].*\*\n\n)?"
    text = re.sub(captioned, "", readme, flags=re.MULTILINE)
    return re.sub(rf"\[([^\]]*)\]{INSIDE}", r"\1", text)


class WithDemo(build_py):
    """The package, and in it the files that `texopt demo` needs."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "texopt" / "demo"
            folder.mkdir(parents=True, exist_ok=True)
            for name in DEMO:
                shutil.copy(ROOT / name, folder)


if __name__ == "__main__":
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=description(readme),
        long_description_content_type="text/markdown",
        cmdclass={"build_py": WithDemo},
    )
