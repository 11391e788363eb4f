"""The parts of the page, of gradio, and which of the studio's methods each of them calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from texopt.cli.options.presets import PRESETS
from texopt.cli.studio import form, uploads
from texopt.cli.studio.page import SHOWN, Session, Studio
from texopt.errors import TexoptError

HERE = Path(__file__).parent
TICK = 1.0  # seconds between two looks at the run
UP = "(...values) => { scrollTo({ top: 0 }); return values; }"  # to the picture


def look(gradio: ModuleType) -> dict[str, Any]:
    """How it looks: fonts of the system, since nothing is fetched from elsewhere."""
    font = ["system-ui", "sans-serif"]
    theme = gradio.themes.Base(
        font=font, font_mono=["ui-monospace", "monospace"], primary_hue="neutral", neutral_hue="neutral",
        radius_size="md", text_size="md",
    ).set(
        button_primary_background_fill="#2b2b2b", button_primary_background_fill_hover="#000",
        button_primary_background_fill_dark="#e8e8e6", button_primary_background_fill_hover_dark="#fff",
        button_primary_text_color_dark="#1c1c1c", button_primary_text_color_hover_dark="#1c1c1c",
        body_text_color_subdued="#5a5a58", body_text_color_subdued_dark="#b4b4b0", block_info_text_color="#5a5a58",
        block_info_text_color_dark="#b4b4b0",
    )  # fmt: skip
    script = (HERE / "studio.js").read_text("utf-8")
    return {"theme": theme, "css": (HERE / "studio.css").read_text("utf-8"), "head": f"<script>{script}</script>"}


def _inputs(gr: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    parts["mesh_drop"] = gr.File(
        label="Mesh, with its textures or as .zip",
        file_count="multiple",
        height=130,
        file_types=[*uploads.MESHES, ".zip"],
        elem_id="mesh-drop",
    )
    parts["mesh_text"] = gr.HTML(elem_id="mesh-text", visible=False)
    parts["paintings"] = gr.Gallery(
        label="Painting, or several",
        interactive=True,
        type="filepath",
        columns=3,
        height=170,
        object_fit="contain",
        file_types=["image"],
        elem_id="paintings",
        buttons=[],
        sources=["upload"],
    )
    with gr.Row(elem_id="begin"):
        parts["start"] = gr.Button("Start", variant="primary", size="lg", min_width=0)
        parts["demo"] = gr.Button("Try the creature", size="lg", min_width=0)
    parts["notice"] = gr.HTML(elem_id="notice", visible=False)
    return parts


def _options(gr: Any) -> dict[str, Any]:
    help, usual = form.HELP, form.DEFAULTS
    parts: dict[str, Any] = {}
    parts["preset"] = gr.Dropdown(list(PRESETS), value=usual["preset"], label="Preset", info=help["preset"])
    for name, (low, high) in form.RANGES.items():
        label = name.replace("_", " ").capitalize()
        parts[name] = gr.Slider(low, high, usual[name], step=0.05, label=label, info=help[name])
    parts["keep_colors"] = gr.Checkbox(usual["keep_colors"], label="Keep colours", info=help["keep_colors"])
    with gr.Accordion("More options", open=False, elem_id="more"):
        parts["texture_size"] = gr.Dropdown(
            form.choices("texture_size", form.SIZES),
            value=usual["texture_size"],
            label="Texture size",
            info=help["texture_size"],
        )
        parts["direction"] = gr.Dropdown(
            [("as they fall", ""), *((name, name) for name in form.DIRECTIONS)],
            value="",
            label="Direction",
            info=help["direction"],
        )
        parts["where"] = gr.Dropdown([], value=[], multiselect=True, label="Where", info=help["where"])
        parts["only"] = gr.Dropdown([], value=[], multiselect=True, label="Only", info=help["only"])
        parts["mask"] = gr.File(label="Mask", height=90, file_types=["image"], elem_id="mask")
        gr.HTML(f"<p>{help['mask']}</p>", elem_classes="info")
        parts["format"] = gr.CheckboxGroup(
            list(form.FORMATS), value=list(usual["format"]), label="Format", info=help["format"]
        )
    parts["others"] = gr.HTML(elem_id="others", visible=False)
    return parts


def _stage(gr: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {"view": gr.HTML(elem_id="view")}
    with gr.Column(elem_id="run", visible=False) as parts["run"]:
        parts["run_text"] = gr.HTML()
        with gr.Row(visible=False, elem_classes="buttons") as parts["run_buttons"]:
            parts["pause"] = gr.Button("Pause", size="sm")
            parts["stop"] = gr.Button("Stop", size="sm")
            parts["watch"] = gr.Button("Watch", size="sm", visible=False)
            parts["remove"] = gr.Button("Remove what waits", size="sm", visible=False)
    with gr.Column(elem_id="result", visible=False) as parts["result"]:
        parts["result_text"] = gr.HTML()
        with gr.Row(elem_classes="buttons"):
            parts["links"] = gr.HTML(elem_classes="links")
            parts["go_on"] = gr.Button("Go on with this run", size="sm", visible=False)
            parts["compare"] = gr.Button("Compare", size="sm", visible=False)
            parts["again"] = gr.Button("Again with these options", size="sm")
    parts["results"] = gr.Gallery(
        label="Results",
        visible=False,
        allow_preview=False,
        columns=None,
        height="auto",
        object_fit="cover",
        interactive=False,
        buttons=[],
        elem_id="results",
    )
    return parts


def make_page(gr: ModuleType, studio: Studio) -> Any:
    """The page as gradio's Blocks."""
    with gr.Blocks(title="texopt studio", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        session = gr.State(Session())
        with gr.Row(elem_id="studio"):
            with gr.Column(elem_id="desk"):
                gr.HTML("<h1>texopt studio</h1>", elem_id="title")
                parts = _inputs(gr) | _options(gr)
            with gr.Column(elem_id="stage"):
                parts |= _stage(gr)
        timer = gr.Timer(TICK)
        _connect(gr, page, timer, session, parts, studio)
    return page


def _connect(gr: Any, page: Any, timer: Any, session: Any, parts: dict[str, Any], studio: Studio) -> None:
    outputs = list(parts.values())
    quiet = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}

    def answered(here: Session, method: Callable[..., dict[str, Any]], *values: Any) -> Any:
        """What a method changes, as gradio wants it: by part."""
        try:
            found = method(here, *values)
        except (TexoptError, OSError) as error:
            found, here.notice = {}, studio.told(error)
        return {parts[name]: value for name, value in (studio.changes(here) | found).items()} or gr.skip()

    def call(event: Callable[..., Any], method: Callable[..., dict[str, Any]], *inputs: Any, **options: Any) -> None:
        """Have an event call a method of the studio with the session and the values of these parts."""
        event(lambda here, *values: answered(here, method, *values), [session, *inputs], outputs, **(quiet | options))

    def chosen(here: Session, event: Any) -> Any:
        return answered(here, studio.choose, event.index)

    chosen.__annotations__["event"] = gr.SelectData  # by which gradio knows that it is to be given
    parts["results"].select(chosen, [session], outputs, **quiet, js=UP)
    call(page.load, studio.loaded)
    call(timer.tick, lambda _: {}, trigger_mode="once")
    call(parts["mesh_drop"].upload, studio.mesh_dropped, parts["mesh_drop"], show_progress="minimal")
    call(parts["demo"].click, studio.demo)
    call(parts["preset"].input, studio.preset_chosen)
    call(parts["start"].click, studio.start, parts["paintings"], parts["mask"], *(parts[name] for name in SHOWN), js=UP)
    for name in ("pause", "stop", "watch", "remove", "again", "go_on", "compare"):
        call(parts[name].click, getattr(studio, name))
