"""Peak live results and makespans by scheduler/order's ranks and by dask.order's, on real graphs of dask: one command.

    python3 tests/quality/order_compare.py [--python /tmp/venv-dask/bin/python] [--bin build/release/bin] [--json FILE]

dask comes from PyPI, in a virtual environment outside the repository:

    python3 -m venv /tmp/venv-dask && /tmp/venv-dask/bin/pip install "dask[dataframe]" xarray

Without it the comparison says "skipped" and ends with 77. Other arguments go to taskd_order_peaks.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="/tmp/venv-dask/bin/python", help="of an environment with dask")
    parser.add_argument("--bin", default=ROOT / "build/release/bin", type=pathlib.Path)
    options, rest = parser.parse_known_args()
    try:
        probe = subprocess.run([options.python, "-c", "import dask, dask.dataframe, xarray; print(dask.__version__)"],
                               capture_output=True, text=True, check=False)
        version = probe.stdout.strip() if probe.returncode == 0 else None
    except FileNotFoundError:
        version = None
    if version is None:
        print(f"skipped: {options.python} has no dask, dask.dataframe and xarray (see --help)")
        return 77
    print(f"dask {version}", flush=True)
    with tempfile.TemporaryDirectory(prefix="taskd-order-") as folder:
        subprocess.run([options.python, "-B", HERE / "dask_graphs.py", folder], check=True, stdout=subprocess.DEVNULL)
        return subprocess.run([options.bin / "taskd_order_peaks", folder, *rest], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
