"""The package's description for indexes: README.md without pictures and links that lead into the repository, where the
reader of an index is not. All else about the package is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

INSIDE = r"\((?!https?://)[^)]*\)"  # the target of a link that is no address


def description(readme: str) -> str:
    captioned = rf"^!\[[^\]]*\]{INSIDE}\n\n(\*[^*].*\*\n\n)?"
    text = re.sub(captioned, "", readme, flags=re.MULTILINE)
    return re.sub(rf"\[([^\]]*)\]{INSIDE}", r"\1", text)


if __name__ == "__main__":
    readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    setup(long_description=description(readme), long_description_content_type="text/markdown")
