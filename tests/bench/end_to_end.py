"""End-to-end figures of real daemons on this machine, as JSON, each with the physical limit beside it.

    TASKD_BIN=build/release/bin python3 -B tests/bench/end_to_end.py BENCHMARK [--runs N] [flags of its own] [--tiny]

Nothing here passes or fails by a time: what must hold is that every task is done and its results are right.
"""

import argparse

import chain
import data
import inside
import latency
import measuring
import metg
import throughput
import working_set

BENCHMARKS = {
    "noops": (throughput, throughput.noops), "commands": (throughput, throughput.commands),
    "latency": (latency, latency.latency), "chain": (chain, chain.chain), "metg": (metg, metg.metg),
    "shuffle": (data, data.shuffle), "transfer": (data, data.transfer), "broadcast": (data, data.broadcast),
    "inside": (inside, inside.inside), "working-set": (working_set, working_set.working_set),
}


def main():
    measuring.stop_on_sigterm()
    parser = argparse.ArgumentParser(description="End-to-end benchmarks of real daemons")
    parsers = parser.add_subparsers(dest="benchmark", required=True)
    for name, (module, measure) in BENCHMARKS.items():
        one = parsers.add_parser(name, description=module.__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        one.add_argument("--runs", type=int, default=5, help="runs that are counted")
        one.add_argument("--tiny", action="store_true", help="sizes that show that it works, not how fast")
        module.add_flags(one, name)
        one.set_defaults(module=module, measure=measure)
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.module.tiny(arguments)
    measuring.show({"benchmark": arguments.benchmark, **arguments.measure(arguments)})


if __name__ == "__main__":
    main()
