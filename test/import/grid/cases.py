"""All cases of the grid."""

import functools

from grid import arrays, convolutions, elementwise, images, products, quantized, reductions
from grid.table import Grid

FAMILIES = [elementwise, convolutions, products, reductions, arrays, images, quantized]


@functools.cache
def unfold():
    grid = Grid()
    for family in FAMILIES:
        family.fill(grid)
    return grid
