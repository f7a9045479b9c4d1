"""Writes the ten graphs of the order comparison, each in several sizes, with the ranks that dask.order gives them.

    python3 -m venv /tmp/venv-dask && /tmp/venv-dask/bin/pip install "dask[dataframe]" xarray
    /tmp/venv-dask/bin/python tests/quality/dask_graphs.py OUT_FOLDER     # order_compare.py does both ends

The graphs are what dask would run: collections of dask.array, xarray and dask.dataframe after dask's own optimisation.
Literal data inside a graph (dask ranks it too) is not a task and is left out; ranks are made dense again.

One text file a graph, NAME-SIZE.graph, lines in a topological order that knows nothing of the ranks:

    taskd-order-graph 1
    graph NAME SIZE tasks N
    RANK INPUT INPUT ...              a task: dask's rank, ordinals of the tasks whose results it reads
"""

import os
import pathlib
import sys
import warnings

import dask
import dask.array as da
import dask.dataframe
import dask.datasets
from dask._task_spec import DataNode
from dask.order import order

warnings.filterwarnings("ignore")
random = da.random.default_rng(1).random


def time_series(days, space, chunk):
    import pandas
    import xarray
    return xarray.DataArray(
        random((days, space, 8), chunks=(chunk, max(1, space // 4), -1)), dims=("time", "j", "i"),
        coords={"time": pandas.date_range("2000-01-01", periods=days, freq="D")})


def anomaly_mean(days, space):
    series = time_series(days, space, 10)
    groups = series.groupby("time.month")
    return (groups - groups.mean("time")).mean("time").data


def climatology(years, space):
    """Mean and deviation for each month over years, kept whole: all chunks contribute to all months."""
    series = time_series(365 * years, space, 30)
    groups = series.groupby("time.month")
    return [groups.mean("time").data, groups.std("time").data]


def vorticity(steps, side):
    """dv/dx - du/dy on a staggered grid, one time step a chunk, then a mean over time."""
    u = random((steps, side, side), chunks=(1, side // 2, side // 2))
    v = random((steps, side, side), chunks=(1, side // 2, side // 2))
    dx = random((side, side), chunks=(side // 2, side // 2))

    def difference(a, axis):
        widths = [(0, 0)] * a.ndim
        widths[axis] = (0, 1)
        padded = da.pad(a, widths, mode="wrap").rechunk({axis: a.chunks[axis][:-1] + (a.chunks[axis][-1] + 1,)})
        index = [slice(None)] * a.ndim
        index[axis] = slice(1, None)
        low = [slice(None)] * a.ndim
        low[axis] = slice(None, -1)
        return padded[tuple(index)] - padded[tuple(low)]

    return (difference(v * dx, 2) - difference(u * dx, 1)) / (dx * dx)


def vorticity_mean(steps, side):
    return vorticity(steps, side).mean(axis=0)


def double_difference(blocks):
    a = random((4 * blocks, 4 * blocks), chunks=(4, 4))
    once = a[1:, 1:] - a[:-1, :-1]
    return once[1:, 1:] - once[:-1, :-1]


def double_difference_sum(blocks):
    return (double_difference(blocks) ** 2).sum()


def tensordot(blocks, inner):
    a = random((4 * blocks, 4 * inner), chunks=(4, 4))
    b = random((4 * inner, 4 * blocks), chunks=(4, 4))
    return da.tensordot(a - a.mean(axis=0), b, axes=1)


def tensordot_sum(blocks, inner):
    return tensordot(blocks, inner).sum()


def shuffle(partitions, branch):
    frame = dask.datasets.timeseries(start="2000-01-01", end=f"2000-{1 + partitions // 28:02d}-{1 + partitions % 28:02d}",
                                     partition_freq="1D", freq="6h", seed=1)
    with dask.config.set({"dataframe.shuffle.method": "tasks"}):
        return frame.shuffle("id", npartitions=frame.npartitions, max_branch=branch).optimize(fuse=True)


def map_overlap(blocks):
    a = random((4 * blocks, 4 * blocks), chunks=(4, 4))
    return da.map_overlap(lambda x: x + 1, a, depth=1, boundary="periodic", dtype=float)


def map_overlap_sum(blocks):
    return map_overlap(blocks).sum()


def tree_reduction(chunks, split):
    return (random((4 * chunks,), chunks=4) + 1).sum(split_every=split)


def cholesky(blocks):
    a = random((4 * blocks, 4 * blocks), chunks=(4, 4))
    return da.linalg.cholesky(a @ a.T)


def cholesky_of_stored(blocks):
    return da.linalg.cholesky(random((4 * blocks, 4 * blocks), chunks=(4, 4)), lower=True)


def tall_skinny_svd(blocks):
    return list(da.linalg.svd(random((40 * blocks, 4), chunks=(40, 4))))


def compressed_svd(blocks):
    a = random((40 * blocks, 40), chunks=(40, 8))
    return list(da.linalg.svd_compressed(a, k=4, n_power_iter=1, seed=1))


GRAPHS = [
    ("anomaly-mean", anomaly_mean, [(120, 8), (365, 8), (1460, 8), (365, 64)]),
    ("climatology", climatology, [(1, 8), (4, 8), (10, 8)]),
    ("vorticity", vorticity, [(4, 8), (20, 8), (100, 8)]),
    ("vorticity-mean", vorticity_mean, [(4, 8), (20, 8), (100, 8)]),
    ("double-difference", double_difference, [(4,), (10,), (20,)]),
    ("double-difference-sum", double_difference_sum, [(4,), (10,), (20,)]),
    ("tensordot", tensordot, [(4, 4), (8, 8), (4, 32), (16, 4)]),
    ("tensordot-sum", tensordot_sum, [(4, 4), (8, 8), (4, 32), (16, 4)]),
    ("shuffle", shuffle, [(16, 4), (27, 32), (60, 8), (120, 6)]),
    ("map-overlap", map_overlap, [(4,), (10,), (20,)]),
    ("map-overlap-sum", map_overlap_sum, [(4,), (10,), (20,)]),
    ("tree-reduction", tree_reduction, [(16, 2), (100, 4), (1000, 8), (4096, 2)]),
    ("cholesky", cholesky, [(4,), (8,), (12,)]),
    ("cholesky-stored", cholesky_of_stored, [(4,), (8,), (16,), (24,)]),
    ("tall-skinny-svd", tall_skinny_svd, [(4,), (20,), (100,), (400,)]),
    ("compressed-svd", compressed_svd, [(10,), (40,)]),
]


def graph_of(collection):
    collections = collection if isinstance(collection, list) else [collection]
    tasks = {}
    for one in dask.optimize(*collections) if hasattr(collections[0], "chunks") else collections:
        tasks.update(dict(one.__dask_graph__()))
    return dask._task_spec.convert_legacy_graph(tasks)


def topological(tasks, inputs):
    """Depth first over the keys' own order: independent of any ranks."""
    done, out = set(), []
    for root in tasks:
        stack = [(root, False)]
        while stack:
            key, leaving = stack.pop()
            if leaving:
                out.append(key)
            elif key not in done:
                done.add(key)
                stack.append((key, True))
                stack.extend((i, False) for i in reversed(inputs[key]) if i not in done)
    return out


def write(path, name, size, collection):
    graph = graph_of(collection)
    ranks = order(dict(graph))
    inputs = {key: [i for i in sorted(node.dependencies, key=str) if i in graph and not isinstance(graph[i], DataNode)]
              for key, node in graph.items()}
    tasks = topological([key for key, node in graph.items() if not isinstance(node, DataNode)], inputs)
    ordinal = {key: i for i, key in enumerate(tasks)}
    dense = {key: i for i, key in enumerate(sorted(tasks, key=ranks.__getitem__))}
    with path.open("w", encoding="utf-8") as out:
        print("taskd-order-graph 1", file=out)
        print(f"graph {name} {size} tasks {len(tasks)}", file=out)
        for key in tasks:
            print(dense[key], *(ordinal[i] for i in inputs[key]), file=out)
    print(f"{path.name}: {len(tasks)} tasks")


def main():
    global random
    if os.environ.get("PYTHONHASHSEED") != "0":      # sets of keys are walked: the same graphs each time
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, build, sizes in GRAPHS:
        for size in sizes:
            random = da.random.default_rng(1).random    # keys are hashes of its state
            label = "x".join(map(str, size))
            write(folder / f"{name}-{label}.graph", name, label, build(*size))


if __name__ == "__main__":
    main()
