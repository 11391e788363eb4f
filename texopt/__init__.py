"""texopt: optimise the texture of a 3D mesh through renderings of it.

    import texopt
    mesh = texopt.load_mesh("spot.obj")
    texture = texopt.PyramidTexture(1024, start=texopt.repainted(mesh, "starry-night.jpg")[0])
    objective = texopt.style("starry-night.jpg") + 2 * texopt.content().below(0.5) + 10 * texopt.seam()
    result = texopt.optimize(mesh, texture, objective, steps=450, learning_rate=0.035)
    result.export("outputs/spot.obj")

The public names are in __init__.pyi; each is imported when it is first used, so that `import texopt` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__.sort()
