"""The drawing operations, with nvdiffrast's names, signatures and semantics, on the CPU.

A program that draws with them reads like one for nvdiffrast::

    import texopt.raster as dr
    rast, rast_db = dr.rasterize(dr.RasterizeContext(), pos, tri, (512, 512))
    uv, uv_da = dr.interpolate(uvs, rast, uv_tri, rast_db, diff_attrs="all")
    color = dr.antialias(dr.texture(tex, uv, uv_da), rast, pos, tri)

See docs/raster.md.
"""

from texopt.raster.antialiasing import antialias, antialias_construct_topology_hash
from texopt.raster.contexts import RasterizeContext, RasterizeCudaContext, RasterizeGLContext
from texopt.raster.interpolation import interpolate
from texopt.raster.log_level import get_log_level, set_log_level
from texopt.raster.mipmap import mip_levels
from texopt.raster.rasterization import DepthPeeler, rasterize
from texopt.raster.sampling import texture, texture_construct_mip

__all__ = [
    "DepthPeeler",
    "RasterizeContext",
    "RasterizeCudaContext",
    "RasterizeGLContext",
    "antialias",
    "antialias_construct_topology_hash",
    "get_log_level",
    "interpolate",
    "mip_levels",
    "rasterize",
    "set_log_level",
    "texture",
    "texture_construct_mip",
]
