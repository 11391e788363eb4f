"""Text files of programs that disagree on encodings, and names in them that mean the same."""

from __future__ import annotations

import codecs
import unicodedata
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_OLDER = (  # encodings of names that are no UTF-8, as Windows, DOS and macOS have them by country
    "cp1252", "gb18030", "big5", "cp932", "cp949", "cp1251", "cp1250", "cp1253", "cp1254", "cp437", "cp850",
    "mac_roman",
)  # fmt: skip
_BYTES = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}  # of lone surrogates


def read_text(path: Path) -> str:
    """The text of a file, with line ends as newlines.

    Its encoding is that of its byte order mark, or UTF-16 without one, or UTF-8. Bytes that are no UTF-8 stand in it as
    lone surrogates (PEP 383), so that lines can be written as they came and files be found by the bytes of their names.
    """
    data = path.read_bytes()
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", ""))
    encoding = encoding or _unmarked(data)
    text = data[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unmarked(data: bytes) -> str:
    """UTF-16 where every other byte of the beginning is NUL: keywords in two bytes a letter; else UTF-8."""
    start = data[:8]
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) > 3 and not any(start[first::2]) and all(start[1 - first :: 2]):
            return name
    return "utf-8"


def legible(name: str) -> str:
    """A name to be shown and typed: bytes in it that are no UTF-8 as Latin-1."""
    return name.translate(_BYTES)


def alike(one: str, other: str) -> bool:
    """Whether two names are one but for their case, their encoding, or how accents are composed (Unicode, annex 15)."""
    if one.isascii() and other.isascii():
        return one.lower() == other.lower()
    return not spellings(one).isdisjoint(spellings(other))


@lru_cache(1 << 12)
def spellings(name: str) -> frozenset[str]:
    """What a name may mean, without case; two that have one in common are alike."""
    meant = {name}
    if legible(name) != name:
        data = name.encode("utf-8", "surrogateescape")
        for encoding in _OLDER:
            with suppress(UnicodeDecodeError):
                meant.add(data.decode(encoding))
    return frozenset(unicodedata.normalize("NFC", text).lower() for text in meant)
