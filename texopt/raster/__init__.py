"""The drawing operations, with nvdiffrast's names, signatures and semantics, on the CPU.

A program that draws with them reads like one for nvdiffrast::

    import texopt.raster as dr
    rast, rast_db = dr.rasterize(dr.RasterizeContext(), pos, tri, (512, 512))
    uv, uv_da = dr.interpolate(uvs, rast, uv_tri, rast_db)
    color = dr.texture(tex, uv, uv_da)

What texopt needs is here: gradients reach the texture only.
"""

from texopt.raster.autograd import RasterizeContext, interpolate, rasterize, texture

__all__ = ["RasterizeContext", "interpolate", "rasterize", "texture"]
