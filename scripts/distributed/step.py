"""Compare a training step on two processes of one thread with one process of two threads, and with PyTorch.

Usage: step.py RNN [ROUNDS] [STEPS]. Prints Markdown. The programs run alternately, ROUNDS times; a figure is the median
over all rounds of the means over stretches of EVERY steps, beside the fastest stretch.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import medium

HERE = Path(__file__).resolve().parent

# As scripts/bench/compare.py: glibc returns large buffers to the system at once, which costs PyTorch page faults.
KEEP = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), "4000000000")


def ddp(steps):
    """Run PyTorch in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    usual = os.environ | KEEP | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, HERE / "ddp.py", str(steps)], env=usual | {"RANK": str(rank)}, stdout=subprocess.PIPE
        )
        for rank in range(2)
    ]
    first = [process.communicate()[0] for process in started][0]
    return json.loads(first)


def main():
    given = sys.argv[1:]
    rnn, rounds, steps = [*given, *[None, "3", "25"][len(given) :]]
    rounds, steps = int(rounds), int(steps)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        medium.write_data(folder)
        ways = {
            "1 process, 2 threads": lambda: medium.laps(rnn, folder, [], 2, steps),
            "2 processes, 1 thread": lambda: medium.laps(rnn, folder, medium.launcher(2), 1, steps),
            "2 processes, 1 thread, `--reduce bf16`": lambda: medium.laps(
                rnn, folder, medium.launcher(2), 1, steps, more="--reduce bf16"
            ),
            "PyTorch, 2 processes, DDP on gloo": lambda: ddp(steps),
        }
        times = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                times[name].append(way())
                print(f"{name}: {[round(lap) for lap in times[name][-1]]}", file=sys.stderr, flush=True)
    print("| | step, ms | fastest, ms | to 1 process |\n|---|---|---|---|")
    medians = {name: statistics.median(sum(laps, [])) for name, laps in times.items()}
    first = medians["1 process, 2 threads"]
    for name, laps in times.items():
        fastest = min(sum(laps, []))
        print(f"| {name} | {medians[name]:.0f} | {fastest:.0f} | {medians[name] / first:.2f} |")


main()
