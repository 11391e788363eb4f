"""Style transfer to a mesh, as an example of the Python API: what `texopt style MESH STYLE` does.

python scripts/style_transfer.py meshes/creature.obj meshes/styles/woodcut.jpg
"""

import argparse
import logging
from pathlib import Path

import texopt


def main() -> None:
    parser = argparse.ArgumentParser(description="Give a mesh the style of a painting.")
    parser.add_argument("mesh", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=270)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def show(step: texopt.Step) -> None:
        if step.number % 25 == 0:
            terms = ", ".join(f"{name} {value:.3f}" for name, value in step.terms.items())
            print(f"step {step.number} of {step.steps}, {step.seconds:.0f} s: {terms}")

    mesh = texopt.load_mesh(options.mesh)
    starts = texopt.repainted(mesh, options.style)  # the original in the painting's colours, one a material
    sizes = mesh.map_sizes(1024)
    textures = [texopt.PyramidTexture(size, start) for size, start in zip(sizes, starts, strict=True)]
    objective = 0.5 * texopt.style(options.style) + 5 * texopt.patches(options.style)
    objective = objective + 2 * texopt.content(detailed=True).below(0.475) + 20 * texopt.seam()
    cameras = texopt.sample_sphere(distance=(0.6, 0.8))
    result = texopt.optimize(
        mesh,
        textures,
        objective,
        steps=options.steps,
        descent=texopt.Descent(learning_rate=0.045),
        views=texopt.Views(coarse=0.3, cameras=cameras),
        on_step=show,
    )
    folder = result.save(options.out or Path("outputs") / f"{mesh.name}_{options.style.stem}")
    print(f"{folder / mesh.name}.obj with its texture, and preview.png and viewer.html beside it")


if __name__ == "__main__":
    main()
