"""What the commands do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from texopt.cli.options.runs import LOOPS

if TYPE_CHECKING:
    from texopt.cli.remote import Remote


def run(command: str, config: Any, remote: Remote | None = None) -> int:
    """Run a command with its options (texopt.cli.options.runs.CONFIGS). Returns the exit code.

    0; 1 if jobs of a batch or checks failed. remote: what follows a run of LOOPS.
    """
    if command in LOOPS:
        from texopt.cli.commands import running

        running.run(command, config, remote=remote)
    elif command == "resume":
        from texopt.cli.commands import running

        running.resume(config, remote)
    elif command == "evaluate":
        from texopt.cli.commands import evaluation

        evaluation.run(config)
    elif command == "batch":
        from texopt.cli.commands import batch

        return batch.run(config)
    elif command == "saliency":
        from texopt.cli.commands import diagnosis

        diagnosis.saliency(config)
    elif command == "doctor":
        from texopt.cli.commands import diagnosis

        return diagnosis.doctor(config)
    else:
        from texopt.cli.commands import meshes

        commands: dict[str, Callable[[Any], None]] = {
            "unwrap": meshes.unwrap,
            "render": meshes.render,
            "info": meshes.info,
            "view": meshes.view,
        }
        commands[command](config)
    return 0


def list_backbones() -> None:
    """Print the networks: layers, where weights come from, licence."""
    from texopt.features.backbones import BACKBONES

    for name, backbone in BACKBONES.items():
        print(f"{name}\n    weights: {backbone.weights}\n    licence: {backbone.license}")
        print(f"    style: {', '.join(backbone.style_layers)}\n    content: {backbone.content_layer}")
    print("timm:NAME\n    any network of timm, by its name there; weights are downloaded at first use")
    print("    style: the ends of its stages up to stride 16\n    content: the last of them of stride 8")
