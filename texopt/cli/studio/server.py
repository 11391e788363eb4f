"""`texopt studio`: the server of the page, which ends with Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from texopt.cli.options.tools import StudioConfig
from texopt.cli.studio import history, uploads
from texopt.cli.studio.guard import guarded, taking_dropped_files
from texopt.cli.studio.jobs import Jobs
from texopt.cli.studio.views import Views
from texopt.errors import DependencyError, OptionError
from texopt.system.files import check_names
from texopt.system.local_pages import is_loopback, listen, url_of
from texopt.system.signals import stoppable

log = logging.getLogger("texopt")

# a mesh's page runs its own script, which reaches nothing: not the studio, whose origin is not its own in there
FRAME = {"content-security-policy": "sandbox allow-scripts; frame-ancestors 'self'", "cache-control": "no-store"}


def import_gradio(temporary: Path) -> ModuleType:
    """gradio, which keeps what is dropped on the page in that folder. It asks nobody for its news."""
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(temporary), "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    try:
        import gradio
    except ImportError:
        raise DependencyError("the studio needs gradio; pip install 'texopt[studio]'") from None
    found: ModuleType = gradio
    return found


def run(config: StudioConfig) -> None:
    """Serve until Ctrl-C; then the run stops, and what it has is kept."""
    with (
        contextlib.suppress(KeyboardInterrupt),
        stoppable(),
        tempfile.TemporaryDirectory(prefix="texopt-") as temporary,
    ):
        gradio = import_gradio(Path(temporary))
        import uvicorn

        folder = config.dir.resolve()
        check_names([folder / uploads.INPUTS / "mesh"])
        with listen(config.host, config.port) as listening:
            jobs = Jobs(folder)
            try:
                local = is_loopback(listening.getsockname()[0])
                folders = [Path(temporary), folder / uploads.INPUTS]
                app = taking_dropped_files(application(gradio, jobs, Path(temporary)), folders)
                app = guarded(app, local, uploads.MOST_BYTES + (1 << 20))
                asked = uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1)
                server = uvicorn.Server(asked)  # an open page keeps a request open, whose end is no error
                _tell(listening, config.port, folder, local)
                server.run(sockets=[listening])
            finally:
                if jobs.running:
                    log.info("stopping the run, and writing what there is")
                jobs.close()


def _tell(listening: socket.socket, port: int, folder: Path, local: bool) -> None:
    address, found = listening.getsockname()[:2]
    if port not in (0, found):
        log.info("port %d is in use: the studio takes another", port)
    if not local:
        log.warning(
            "the studio listens on %s: whoever reaches port %d there can see all results, and start and stop runs",
            address, found,
        )  # fmt: skip
    log.info("studio: %s (results in %s; Ctrl-C ends it)", url_of(listening), folder)


def application(gradio: ModuleType, jobs: Jobs, temporary: Path) -> Any:
    """The page and all that it names, as an ASGI application."""
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response

    from texopt.cli.studio.layout import look, make_page
    from texopt.cli.studio.page import Studio

    views = Views()
    uploads.remove_unfinished(jobs.folder / uploads.INPUTS)
    app = FastAPI(openapi_url=None)

    @app.exception_handler(OptionError)
    async def gone(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error}\n", 404)

    found = history.History(jobs.folder)
    add_routes(app, jobs, views, found)
    page = make_page(gradio, Studio(gradio, jobs, views, found, temporary))
    return gradio.mount_gradio_app(
        app, page, "/", footer_links=[], run_history=False, show_error=False, ssr_mode=False, pwa=False,
        mcp_server=False, enable_monitoring=False, max_file_size=uploads.MOST_BYTES,
        allowed_paths=[str(jobs.folder / uploads.INPUTS)], **look(gradio),
    )  # fmt: skip


def add_routes(app: Any, jobs: Jobs, views: Views, found: history.History) -> None:
    """What is not gradio's: frames, the textures of the run, downloads."""
    from starlette.background import BackgroundTask
    from starlette.responses import FileResponse, JSONResponse, Response

    @app.get("/view/mesh/{name}")
    def mesh(name: str) -> Response:
        return Response(views.page(name), headers=FRAME, media_type="text/html")

    @app.get("/view/result/{name}")
    def shown(name: str) -> Response:
        path = found.find(name).folder / history.VIEWER
        if not path.is_file():
            raise OptionError("this result has no picture yet")
        return FileResponse(path, headers=FRAME, media_type="text/html")

    @app.get("/view/result/{name}/{other}")
    def both(name: str, other: str) -> Response:
        return Response(history.compared(found.find(name), found.find(other)), headers=FRAME, media_type="text/html")

    @app.get("/live")
    def live() -> Response:
        run = jobs.running
        names = sorted(name for name, path in run.textures.items() if path.exists()) if run else []
        return JSONResponse({"step": run.textures_step if run else 0, "textures": names}, headers=_NOT_KEPT)

    @app.get("/live/{name}")
    def texture(name: str) -> Response:
        run = jobs.running
        path = run.textures.get(name) if run else None
        try:
            return Response(path.read_bytes(), 200, _NOT_KEPT, "image/png") if path else Response(status_code=204)
        except OSError:  # there is a newer one, or the run has ended
            return Response(status_code=204)

    @app.get("/download/{name}/model.glb")
    def glb(name: str) -> Response:
        one = found.find(name)
        if one.glb is None:
            raise OptionError("this result has no .glb; its options say which files are written")
        return FileResponse(one.glb, filename=f"{one.name}.glb", media_type="model/gltf-binary")

    @app.get("/download/{name}/all.zip")
    def all_files(name: str) -> Response:
        one = found.find(name)
        handle, path = tempfile.mkstemp(suffix=".zip")
        with os.fdopen(handle, "wb") as file:
            title = history.archive(one, file)
        return FileResponse(path, filename=title, background=BackgroundTask(os.unlink, path))


_NOT_KEPT = {"cache-control": "no-store"}
