"""Barycentrics of the visible triangles, their screen-space derivatives, and the gradient of both to the vertices.

With clip-space corners P_i = (x_i, y_i, w_i) and a pixel at q = (x, y, 1) in normalised device coordinates, the
perspective-correct barycentrics are ratios of linear functions of q (Olano & Greer 1997): with N_0 = P_1 x P_2 and
so on, and S = N_0 + N_1 + N_2, they are N_i.q / S.q, and their derivatives by x and y follow from the quotient rule.
No vertex is divided by its w, so a triangle may reach behind the eye.
"""

from __future__ import annotations

import numpy as np

from texopt.raster.kernels import at, called, for_each_block, inlined, kernel, zero_parts

NOTHING = 2147483647  # the triangle that a pixel sees which sees none: more than any index


@inlined
def cross(a, b):
    """Cross product of two tuples."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@inlined
def corner(pos, vertex):
    """Clip-space (x, y, w) of a vertex."""
    i = at(vertex)
    return np.float64(pos[i, 0]), np.float64(pos[i, 1]), np.float64(pos[i, 3])


@called
def shade(top, bottom, height, width, visible, pos, tri, rast, rast_db):
    """Write rows [top, bottom) of rast and rast_db [H*W,4], float32, from the triangle index that each pixel sees."""
    step_x, step_y = 2.0 / width, 2.0 / height
    derivatives = len(rast_db) > 0
    z0 = z1 = z2 = w0 = w1 = w2 = 0.0
    n0 = n1 = n2 = s = (0.0, 0.0, 0.0)
    for row in range(top, bottom):
        y = step_y * row + (1.0 / height - 1.0)
        last = NOTHING
        for column in range(width):
            p = at(row * width + column)
            face = visible[at((row - top) * width + column)]
            if face == NOTHING:
                rast[p, 0] = rast[p, 1] = rast[p, 2] = rast[p, 3] = np.float32(0.0)
                if derivatives:
                    rast_db[p, 0] = rast_db[p, 1] = rast_db[p, 2] = rast_db[p, 3] = np.float32(0.0)
                continue
            if face != last:
                last = face
                i, j, k = at(tri[at(face), 0]), at(tri[at(face), 1]), at(tri[at(face), 2])
                p0, p1, p2 = corner(pos, i), corner(pos, j), corner(pos, k)
                z0, z1, z2 = np.float64(pos[i, 2]), np.float64(pos[j, 2]), np.float64(pos[k, 2])
                w0, w1, w2 = p0[2], p1[2], p2[2]
                n0, n1, n2 = cross(p1, p2), cross(p2, p0), cross(p0, p1)
                s = n0[0] + n1[0] + n2[0], n0[1] + n1[1] + n2[1], n0[2] + n1[2] + n2[2]
            x = step_x * column + (1.0 / width - 1.0)
            scale = 1.0 / (s[0] * x + s[1] * y + s[2])
            u, v = (n0[0] * x + n0[1] * y + n0[2]) * scale, (n1[0] * x + n1[1] * y + n1[2]) * scale
            if derivatives:
                rast_db[p, 0] = (n0[0] - u * s[0]) * scale * step_x
                rast_db[p, 1] = (n0[1] - u * s[1]) * scale * step_y
                rast_db[p, 2] = (n1[0] - v * s[0]) * scale * step_x
                rast_db[p, 3] = (n1[1] - v * s[1]) * scale * step_y
            u = min(max(u, 0.0), 1.0)
            v = min(max(v, 0.0), 1.0 - u)
            t = 1.0 - u - v
            rast[p, 0], rast[p, 1] = u, v
            rast[p, 2], rast[p, 3] = (z0 * u + z1 * v + z2 * t) / (w0 * u + w1 * v + w2 * t), face + 1


@inlined
def _add(sums, vertex, x, y, w):
    i = at(vertex)
    sums[i, 0] += x
    sums[i, 1] += y
    sums[i, 3] += w


@kernel
def _gradient(part, parts, height, width, pos, tri, rast, grad, grad_db, sums):
    """Add what one part of the rows of every image gives to the gradient of its vertices: float64 [parts,N,V,4]."""
    images = rast.shape[0] // (height * width)
    step_x, step_y = 2.0 / width, 2.0 / height
    derivatives = len(grad_db) > 0
    for image in range(images):
        n = image if len(pos) > 1 else 0
        vertices, own = pos[n], sums[part, n]
        for row in range(part * height // parts, (part + 1) * height // parts):
            y = step_y * row + (1.0 / height - 1.0)
            for column in range(width):
                p = at((image * height + row) * width + column)
                face = np.int64(rast[p, 3]) - 1
                if face < 0:
                    continue
                g_u, g_v = np.float64(grad[p, 0]), np.float64(grad[p, 1])
                g_ux = g_uy = g_vx = g_vy = 0.0
                if derivatives:
                    g_ux, g_uy = np.float64(grad_db[p, 0]) * step_x, np.float64(grad_db[p, 1]) * step_y
                    g_vx, g_vy = np.float64(grad_db[p, 2]) * step_x, np.float64(grad_db[p, 3]) * step_y
                if g_u == 0.0 and g_v == 0.0 and g_ux == 0.0 and g_uy == 0.0 and g_vx == 0.0 and g_vy == 0.0:
                    continue
                i, j, k = tri[at(face), 0], tri[at(face), 1], tri[at(face), 2]
                p0, p1, p2 = corner(vertices, i), corner(vertices, j), corner(vertices, k)
                n0, n1, n2 = cross(p1, p2), cross(p2, p0), cross(p0, p1)
                s = n0[0] + n1[0] + n2[0], n0[1] + n1[1] + n2[1], n0[2] + n1[2] + n2[2]
                x = step_x * column + (1.0 / width - 1.0)
                scale = 1.0 / (s[0] * x + s[1] * y + s[2])
                u, v = (n0[0] * x + n0[1] * y + n0[2]) * scale, (n1[0] * x + n1[1] * y + n1[2]) * scale

                # backwards: derivatives by x and y, then the quotients u and v, then numerators and denominator
                g_u -= (g_ux * s[0] + g_uy * s[1]) * scale
                g_v -= (g_vx * s[0] + g_vy * s[1]) * scale
                slope = g_ux * (n0[0] - u * s[0]) + g_uy * (n0[1] - u * s[1])
                slope += g_vx * (n1[0] - v * s[0]) + g_vy * (n1[1] - v * s[1])
                common = -(slope * scale + g_u * u + g_v * v) * scale
                s_x, s_y = -(g_ux * u + g_vx * v) * scale + common * x, -(g_uy * u + g_vy * v) * scale + common * y
                g_u, g_v = g_u * scale, g_v * scale
                g0 = g_u * x + g_ux * scale + s_x, g_u * y + g_uy * scale + s_y, g_u + common
                g1 = g_v * x + g_vx * scale + s_x, g_v * y + g_vy * scale + s_y, g_v + common
                g2 = s_x, s_y, common

                # N_0 = P_1 x P_2: the gradient of P_1 is P_2 x g_0 and that of P_2 is g_0 x P_1
                a, b = cross(p2, g0), cross(g0, p1)
                c, d = cross(p0, g1), cross(g1, p2)
                e, f = cross(p1, g2), cross(g2, p0)
                x0, y0, w0 = d[0] + e[0], d[1] + e[1], d[2] + e[2]
                x1, y1, w1 = a[0] + f[0], a[1] + f[1], a[2] + f[2]
                x2, y2, w2 = b[0] + c[0], b[1] + c[1], b[2] + c[2]
                if np.isfinite(x0 + y0 + w0 + x1 + y1 + w1 + x2 + y2 + w2):
                    _add(own, i, x0, y0, w0)
                    _add(own, j, x1, y1, w1)
                    _add(own, k, x2, y2, w2)


def gradient(
    pos: np.ndarray, tri: np.ndarray, rast: np.ndarray, grad: np.ndarray, grad_db: np.ndarray | None
) -> np.ndarray:
    """Gradient float32 [N,V,4] to vertices pos [N,V,4], N being 1 or B, from those to rast and rast_db [B,H,W,4]."""
    height, width = rast.shape[1:3]
    sums = zero_parts(len(rast) * height * width, pos.shape)
    grad_db = np.empty((0, 4), np.float32) if grad_db is None else grad_db.reshape(-1, 4)
    pixels = (rast.reshape(-1, 4), grad.reshape(-1, 4), grad_db)
    for_each_block(_gradient, len(sums), len(sums), height, width, pos, tri, *pixels, sums)
    return np.asarray(sums.sum(0), np.float32)
