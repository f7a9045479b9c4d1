"""Graph shapes as edge lists: edges[i] is a list of the earlier tasks that task i reads.

The shapes with a width and steps are those of Task Bench (Slaughter et al., SC20): point i of a step depends on points of
the step before.
"""

import functools

RADIX = 5                                             # of nearest and spread, as in the paper
PERIOD = 3                                            # of spread


def _stencil(step, point, width):
    del step
    return range(max(0, point - 1), min(width, point + 2))


def _fft(step, point, width):
    dimensions = max(1, (width - 1).bit_length())
    distance = 1 << (step + dimensions - 1) % dimensions
    return [at for at in (point - distance, point, point + distance) if 0 <= at < width]


def _tree(step, point, width):
    del step, width
    return [point // 2]


def _nearest(step, point, width):
    del step
    return range(max(0, point - RADIX // 2), min(width, point + (RADIX - 1) // 2 + 1))


def _spread(step, point, width):
    return sorted({(point + k * width // RADIX + (step % PERIOD if k else 0)) % width for k in range(RADIX)})


STEPPED = {"stencil": _stencil, "fft": _fft, "tree": _tree, "nearest": _nearest, "spread": _spread}


def stepped(kind, width, steps):
    """Task Bench's `kind`. A tree grows from one point to `width` and stays as wide; all others are as wide from the start."""
    edges, before, before_width = [], 0, 0
    for step in range(steps):
        now_width = min(width, 1 << step) if kind == "tree" else width
        first = len(edges)
        for point in range(now_width):
            edges.append([before + at for at in STEPPED[kind](step, point, width) if at < before_width] if step else [])
        before, before_width = first, now_width
    return edges


def independent(tasks):
    return [[] for _ in range(tasks)]


def chain(tasks):
    return [[i - 1] if i else [] for i in range(tasks)]


def reduction(leaves):
    """A binary tree: `leaves` tasks, then each reads two, down to one. `leaves` is a power of two."""
    edges, level = independent(leaves), list(range(leaves))
    while len(level) > 1:
        pairs = list(zip(level[::2], level[1::2]))
        level = list(range(len(edges), len(edges) + len(pairs)))
        edges += [list(pair) for pair in pairs]
    return edges


def sinks(edges):
    """The tasks that nobody reads."""
    read = {task for inputs in edges for task in inputs}
    return [task for task in range(len(edges)) if task not in read]


def line(value, crc):
    """What the built-in `checksum` writes of an input."""
    return b"%08x %d\n" % (crc(value), len(value))


def values(edges, crc, leaf):
    """What each task makes: leaf(task) without inputs, else a line for each input."""
    made = []
    for task, inputs in enumerate(edges):
        made.append(b"".join(line(made[at], crc) for at in inputs) if inputs else leaf(task))
    return made


@functools.cache
def _crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data):
    crc, table = 0xFFFFFFFF, _crc32c_table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
