"""The process of one job: `python -m texopt.cli.batch_job COMMAND FOLDER [OPTION ...]`.

It runs FOLDER/options.yaml and writes into FOLDER, config.yaml last of all; where an attempt that crashed has left a
checkpoint there, it goes on from that. Its standard input is a pipe that nothing is written to: when that ends, the
process that started it is gone, however it went, and so is whoever would take the result.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path

from texopt.cli.input_files import states
from texopt.cli.job_files import INPUTS, OPTIONS
from texopt.system.files import write_file


def _end_with_parent(folder: Path) -> None:
    def watch() -> None:
        while os.read(0, 1):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _mesh_files(mesh: Path) -> tuple[Path, ...]:
    """The files of a mesh: its materials and textures, too. Itself alone where it cannot be read: the run says why."""
    from texopt.errors import TexoptError
    from texopt.io.read import read

    try:
        return read(mesh).files
    except TexoptError:
        return (mesh,)


def main(command: str, folder: Path, options: list[str]) -> int:
    """Run the job. Returns the exit code of `texopt COMMAND`."""
    from texopt.cli.main import main as texopt
    from texopt.optim.checkpoint import NAME
    from texopt.system.process import tune_process

    tune_process()
    job = json.loads((folder / INPUTS).read_text(encoding="utf-8"))
    files = states([*map(Path, job["named"]), *_mesh_files(Path(job["mesh"]))])  # as they are before the run
    write_file(folder / INPUTS, json.dumps(files).encode())
    if (folder / NAME).exists():
        return texopt(["resume", str(folder), *options])
    return texopt([command, "--config", str(folder / OPTIONS), "--out", str(folder), *options])


if __name__ == "__main__":
    _end_with_parent(Path(sys.argv[2]))
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
