"""OBJ and MTL."""

from __future__ import annotations

from collections.abc import Iterator

from corpus.pieces import ANY, ERROR, FACE, MTL, OBJ, PLAIN, PNG, SUCCESS, UVS, VERTICES, Case, cuts, file_of, streamed

NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1e400",
    "1e308",
    "1e-320",
    "9" * 5000,
    "0x10",
    "1,5",
    "1_0",
    "--1",
    "1e",
    "",
    "\0",
    "٣",
    "1\0",
    "None",
    "1" + "0" * 308 + ".0",
    "+-1",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin1"),
]
CORNERS = [
    "0",
    "5",
    "-5",
    "99999999999999999999",
    "2147483647",
    "2147483648",
    "-9223372036854775808",
    "1.5",
    "nan",
    "1e3",
    "1//1",
    "1/9",
    "1/1/1/1",
    "/1",
    "/",
    "1/-9",
    "9" * 5000,
    "1_1",
    "+1",
    "1/1/9",
    "\0",
    "1\0",
]
MATERIALS = {
    "Kd nan": "newmtl skin\nKd nan 0 0\n",
    "Kd huge": "newmtl skin\nKd 1e400 0 0\n",
    "Kd short": "newmtl skin\nKd 1 2\n",
    "Kd text": "newmtl skin\nKd a b c\n",
    "map of NUL": "newmtl skin\nmap_Kd a\0b.png\n",
    "map without name": "newmtl skin\nmap_Kd\n",
    "map of options": "newmtl skin\nmap_Kd -s 1 1 1\n",
    "map of many options": "newmtl skin\nmap_Kd " + "-e " * 20_000 + "skin.png\n",
    "map of blanks": "newmtl skin\nmap_Kd -s" + " " * 200_000 + "x" + " " * 200_000 + "skin.png\n",
    "map of one option": "newmtl skin\nmap_Kd -s " + "1" * 200_000 + " skin.png\n",
    "map of options that nobody knows": "newmtl skin\nmap_Kd " + "-x y " * 40_000 + "skin.png\n",
    "map of quotes": "newmtl skin\nmap_Kd " + '"' * 200_000 + "skin.png\n",
    "map of comments": "newmtl skin\nmap_Kd skin.png " + " #" * 200_000 + "\n",
    "map of options behind": "newmtl skin\nmap_Kd skin.png" + " -s 1" * 100_000 + "\n",
    "map of blanks behind": "newmtl skin\nmap_Kd skin.png -s" + " " * 200_000 + "x" + " -s 1\n",
    "Kd of a spectrum": "newmtl skin\nKd spectral\nKd xyz 1e308 1e308 1e308\n",
    "map scaled by much": "newmtl skin\nmap_Kd -s 1e308 1e308 -o 1e308 1e308 skin.png\n",
    "map scaled by nothing": "newmtl skin\nmap_Kd -s 0 0 0 skin.png\n",
    "map of a long name": "newmtl skin\nmap_Kd " + "x" * 100_000 + ".png\n",
    "map of many folders": "newmtl skin\nmap_Kd " + "a/" * 100_000 + "skin.png\n",
    "map of many parents": "newmtl skin\nmap_Kd " + "../" * 100_000 + "skin.png\n",
    "map of UDIM": "newmtl skin\nmap_Kd " + "<UDIM>" * 10_000 + ".png\n",
    "map of its folder": "newmtl skin\nmap_Kd .\n",
    "map of bad UTF-8": b"newmtl skin\nmap_Kd \xff\xfe.png\n",
    "map of the MTL": "newmtl skin\nmap_Kd a.mtl\n",
    "no newmtl": "map_Kd skin.png\nKd 1 0 0\n",
    "many materials": "".join(f"newmtl m{i}\nmap_Kd 1001.{i}.png\n" for i in range(100_000)),
    "a long line": "newmtl skin\n" + "x" * 10_000_000,
}


def _models() -> Iterator[tuple[str, str | bytes, str]]:
    """(name, text, how it ends)."""
    for number, text in enumerate(NUMBERS):
        yield f"v {number}", PLAIN.replace("v 1 1 0", f"v 1 {text} 0"), ANY
        yield f"vt {number}", PLAIN.replace("vt 1 1", f"vt 1 {text}"), ANY
        yield f"vn {number}", PLAIN.replace(FACE, f"vn 0 {text} 1\nf 1/1/1 2/2/1 3/3/1\n"), ANY
        yield f"colour {number}", PLAIN.replace("v 1 1 0", f"v 1 1 0 0 {text} 0").replace("0 0 0", "0 0 0 0 0 0"), ANY
    for number, text in enumerate(CORNERS):
        yield f"corner {number}", VERTICES + UVS + f"f 1/1 2/2 {text}\n", ANY
        yield f"polygon corner {number}", VERTICES + UVS + "f 1/1 2/2 3/3\n" * 2 + f"f 1/1 2/2 3/3 {text} 4/4\n", ANY
    yield "no faces", VERTICES, ERROR
    yield "faces of two", VERTICES + "f 1 2\n", ERROR
    yield "faces of none", VERTICES + "f\n", ERROR
    yield "empty", "", ERROR
    yield "only NULs", "\0" * 10_000, ERROR
    yield "bad UTF-8 in names", b"o \xff\xfe\nusemtl \x80\n" + PLAIN.encode(), SUCCESS
    yield "escapes in names", "o \x1b[2J\nusemtl \x1b]0;x\x07\n" + PLAIN, SUCCESS
    yield "UTF-16", PLAIN.encode("utf-16"), SUCCESS
    yield "UTF-32", PLAIN.encode("utf-32"), SUCCESS
    yield "NULs between lines", PLAIN.replace("\n", "\n\0\n"), ANY
    yield "carriage returns", PLAIN.replace("\n", "\r"), SUCCESS
    yield "continued for ever", "v 0 0 0 " + "\\\n" * 1_000_000, ERROR
    yield "many libraries", "mtllib " + " ".join(f"{i}.mtl" for i in range(100_000)) + "\n" + PLAIN, ANY
    yield "many library lines", "".join(f"mtllib {i}.mtl\n" for i in range(100_000)) + PLAIN, ANY
    yield "a library again and again", "mtllib a.mtl a.mtl\n" * 50_000 + PLAIN, ANY
    yield "half a letter of UTF-16", PLAIN.encode("utf-16") + b"\x00\xd8f", ANY
    turns = "".join(f"v {(7 * i) % 5} {(3 * i * i) % 7} {i % 2}\n" for i in range(2000))
    yield "polygons that cross themselves", turns + ("f " + " ".join(map(str, range(1, 2001))) + "\n") * 100, ANY
    yield "colours of many digits", VERTICES + "#MRGB " + "f" * 900_000 + "\nf 1 2 3\n", ANY
    yield "many words of libraries", ('mtllib "' + "a b " * 100_000 + "\n") + PLAIN, ANY
    yield "many materials", VERTICES + UVS + "".join(f"usemtl {i}\n{FACE}" for i in range(200_000)), ANY
    yield "many objects", VERTICES + UVS + "".join(f"o {i}\n{FACE}" for i in range(200_000)), ANY
    yield "UVs from 1e300", PLAIN.replace("vt 1 1", "vt 1e300 1e300").replace("vt 0 0", "vt -1e300 0"), ANY
    yield "UVs from 1e30", PLAIN.replace("vt 1 1", "vt 1e30 1e30"), ANY
    yield "coordinates from 1e30", PLAIN.replace("v 1 1 0", "v 1e30 1e30 0"), ANY
    yield "coordinates from 1e-300", PLAIN.replace("v 1 ", "v 1e-300 ").replace(" 1 0", " 1e-300 0"), ANY


def cases() -> Iterator[Case]:
    for name, text, ends in _models():
        yield Case(f"OBJ/{name}", "mesh", file_of("a.obj", text, a_mtl=MTL * 1000, skin_png=PNG), ends)
    for length, start in cuts(OBJ.encode(), list(range(0, len(OBJ), 7))):
        yield Case(f"OBJ/cut at {length}", "mesh", file_of("a.obj", start, a_mtl=MTL, skin_png=PNG))
    long = 100_000_000
    for key, what in (
        ("#", b"x"),
        ("v", b"1 "),
        ("f", b"1 "),
        ("f", b"x"),
        ("mtllib", b"1 "),
        ("usemtl", b"x"),
        ("", b"x"),
    ):
        make = streamed("a.obj", (f"{key} ".encode(), 1), (what, long // len(what)), (b"\n" + PLAIN.encode(), 1))
        yield Case(f"OBJ/100 MB of {key or 'blank'} {what.decode()}", "mesh", make)
    yield Case(
        "OBJ/100 MB of corners", "mesh", streamed("a.obj", (PLAIN.encode() + b"f ", 1), (b"1/1 2/2 3/3 ", 8_000_000))
    )
    for name, text in MATERIALS.items():
        yield Case(f"MTL/{name}", "mesh", file_of("a.obj", OBJ, a_mtl=text, skin_png=PNG))
    named = "".join(f"usemtl m{i}\n{FACE}" for i in range(1000))
    mtl = "".join(f"newmtl m{i}\nmap_Kd skin.png\n" for i in range(1000))
    make = file_of("a.obj", f"mtllib a.mtl\n{VERTICES}{UVS}{named}", a_mtl=mtl, skin_png=PNG)
    yield Case("MTL/1000 materials of one texture", "mesh", make, SUCCESS)
    for length, start in cuts(MTL.encode(), list(range(0, len(MTL), 5))):
        yield Case(f"MTL/cut at {length}", "mesh", file_of("a.obj", OBJ, a_mtl=start, skin_png=PNG))
