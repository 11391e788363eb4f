"""texopt: optimise the texture of a 3D mesh through renderings of it.

    import texopt
    mesh = texopt.load_mesh("spot.obj")
    objective = texopt.style("starry-night.jpg") + 8 * texopt.content()
    result = texopt.optimize(mesh, texopt.FourierTexture(1024), objective, steps=300)
    result.export("outputs/spot.obj")

The public names are in __init__.pyi; each is imported when it is first used, so that `import texopt` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__.sort()
