"""The command line: `texopt COMMAND ...`. What is heavy is imported when a command runs, so that --help is quick."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texopt import __version__
from texopt.errors import OptionError, TexoptError, printable
from texopt.system.process import open_streams, tune_process

if TYPE_CHECKING:
    from texopt.cli.remote import Remote

USAGE = f"""texopt {__version__}: optimise the texture of a 3D mesh through renderings of it.

  texopt style MESH IMAGE              give a mesh the style of a painting
  texopt feature MESH TARGET           show what excites a channel (blocks.4:17) or looks like a class (tiger)
  texopt custom MESH FILE.py:FUNCTION  optimise for an objective of your own
  texopt image ...                     make an image: of a channel or class, in a painting's style, a tile, a dream
  texopt interpolate TARGET TARGET     images from one to another, and a GIF
  texopt fit MESH CAMERAS.json         give a mesh its texture from photographs with known cameras
  texopt batch JOBS.csv|JOBS.yaml      run a table of such jobs, here or on a cluster

  texopt demo                          a first try: the bundled creature in the style of brush strokes
  texopt resume DIR                    go on with a run that was stopped
  texopt evaluate DIR                  how good a result is, in numbers
  texopt saliency IMAGE|MESH TARGET    where a class or channel sees what it answers to
  texopt info MESH                     what is in a mesh file
  texopt unwrap MESH                   new UVs, with the textures carried over
  texopt render MESH                   a picture of it, or a turntable
  texopt view DIR|MESH                 a page in the browser that shows it
  texopt doctor                        check what is installed, and its gradients
  texopt backbones                     list the pretrained networks

`texopt COMMAND --help` lists a command's options; `--config FILE` starts from a saved config.yaml.
Runs that another program starts and follows take `--remote`: see docs/programs.md.
"""


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + printable(record.getMessage())


def _configure_log() -> None:
    log = logging.getLogger("texopt")
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine())
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO if _speaks() else logging.CRITICAL)


def _speaks() -> bool:
    """Whether this process tells people what goes on: of several that torchrun has started, the first."""
    return int(os.environ.get("WORLD_SIZE", "1")) < 2 or os.environ.get("RANK", "0") == "0"


def _taken(arguments: list[str], option: str) -> tuple[str, list[str]]:
    """(the value of an option, "" if it is not there, and the other arguments). Given twice, the last one holds."""
    found, others, rest = "", [], iter(arguments)
    for argument in rest:
        name, given, value = argument.partition("=")
        if name != option:
            others.append(argument)
            continue
        found = value if given else next(rest, "")
        if not found:
            raise OptionError(f"{option} needs a value")
    return found, others


def _as_set(arguments: list[str]) -> list[str]:
    """`A B C --style IMAGES`, in which all that stands first is a mesh, as `A IMAGES --together B C`."""
    if "--style" not in arguments:
        return arguments
    place = arguments.index("--style")
    before, after = arguments[:place], arguments[place + 1 :]
    images = list(takewhile(lambda text: not text.startswith("--"), after))
    meshes = list(takewhile(lambda text: not text.startswith("--"), before))
    others = before[len(meshes) :] + after[len(images) :]
    if not images or not meshes:
        raise OptionError("--style takes the paintings, after all meshes: texopt style A.obj B.obj --style IMAGE")
    return [meshes[0], *images, *others, *(["--together", *meshes[1:]] if len(meshes) > 1 else [])]


@contextmanager
def _followed(command: str, arguments: list[str]) -> Iterator[tuple[Remote | None, list[str]]]:
    """(what follows the run, where --remote asks for it, and the other arguments)."""
    from texopt.cli.options.runs import LOOPS

    if "--remote" not in arguments or command not in (*LOOPS, "resume"):
        yield None, arguments
        return
    from texopt.cli.remote import on_standard_streams

    with on_standard_streams() as remote:
        yield remote, [argument for argument in arguments if argument != "--remote"]


def _run(command: str, arguments: list[str], remote: Remote | None) -> int:
    import tyro

    from texopt.cli.options.presets import preset_values
    from texopt.cli.options.runs import CONFIGS, LOOPS
    from texopt.cli.options.saved import from_yaml

    kind = CONFIGS[command]
    values: dict[str, Any] = {}
    if command in LOOPS:
        file, arguments = _taken(arguments, "--config")
        values = from_yaml(command, Path(file)) if file else {}
    if command == "style":
        arguments = _as_set(arguments)
        preset, arguments = _taken(arguments, "--preset")
        if preset:
            values |= preset_values(preset)
        elif "preset" in values:  # one that a file was written with by hand; a saved one has all values
            values = preset_values(values["preset"]) | values
    inputs = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    missing = dict.fromkeys(inputs, tyro.MISSING)
    default: Any = kind(**(missing | values)) if values else tyro.MISSING_NONPROP
    config: Any = tyro.cli(kind, args=arguments, prog=f"texopt {command}", default=default)
    tune_process()
    from texopt.cli.commands import run

    return run(command, config, remote)


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns the exit code.

    0; 1 if jobs of a batch or checks failed; 2 for a user's error; 130 for Ctrl-C while there is nothing to save.
    """
    from texopt.cli.options.runs import CONFIGS

    arguments = sys.argv[1:] if arguments is None else arguments
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    open_streams()
    _configure_log()
    try:
        if command == "demo":
            from texopt.cli.demo import demo_inputs

            command, rest = "style", [*demo_inputs(), *rest]
        if command in CONFIGS:
            with _followed(command, rest) as (remote, rest):
                code = _run(command, rest, remote)
            sys.stdout.flush()
            return code
        elif command == "backbones":
            from texopt.cli.commands import list_backbones

            list_backbones()
        elif command in ("-h", "--help", "help"):
            print(USAGE, end="")
        elif command == "--version":
            print(f"texopt {__version__}")
        else:
            raise OptionError(f"unknown command {command!r}; the commands are demo, {', '.join(CONFIGS)} and backbones")
        sys.stdout.flush()
    except BrokenPipeError:  # who reads this has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except TexoptError as error:
        if _speaks():
            print(f"texopt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("texopt: stopped", file=sys.stderr)
        return 130
    return 0
