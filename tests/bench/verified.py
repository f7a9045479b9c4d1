"""That taskd computes a graph's values right: the same shape with real values, small, before it is timed."""

from measuring import compile_edges
from patterns import crc32c, sinks, values


def check_values(on, edges, **flags):
    """Runs it with the built-in `checksum`, whose results depend on every input, and compares what nobody reads."""
    on.ctl("-q", "run", compile_edges(on, edges, name="verify", body="checksum", **flags))
    job = on.last_job()

    def got(task):
        return on.get(job, f"t[{task}].v" if len(edges) > 1 else "t.v")

    expected = values(edges, crc32c, leaf=got)
    for task in sinks(edges):
        assert got(task) == expected[task], f"t[{task}] of {len(edges)} tasks: {got(task)} is not {expected[task]}"
