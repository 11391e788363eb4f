"""texopt: optimise the texture of a 3D mesh through renderings of it.

    import texopt
    mesh = texopt.load_mesh("spot.obj")
    texture = texopt.PyramidTexture(1024, start=texopt.repainted(mesh, "starry-night.jpg")[0])
    objective = 0.5 * texopt.style("starry-night.jpg") + 5 * texopt.patches("starry-night.jpg")
    objective = objective + 2 * texopt.content(detailed=True).below(0.475) + 20 * texopt.seam()
    result = texopt.optimize(mesh, texture, objective, steps=270, views=texopt.Views(coarse=0.3))
    result.export("outputs/spot.obj")

The public names are in __init__.pyi; each is imported when it is first used, so that `import texopt` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__.sort()
