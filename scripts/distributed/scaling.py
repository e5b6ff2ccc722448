"""Time the sum of gradients by size and a training step by batch size on this machine, and project from both the speed
on several machines.

Usage: scaling.py RNN. Prints Markdown. The projection is the alpha-beta model, not a measurement: a step on p machines
takes the time of this machine's step on 1/p of the batch, and an exchange of

    2 (p - 1) / p * n * beta + 2 (p - 1) * alpha

where n is the bytes of the gradients, beta the seconds of a byte on the network, and alpha those of a message.
"""

import json
import subprocess
import sys

import medium

NUMBERS = [10**4, 10**5, 10**6, 10**7, 4 * 10**7]
ROWS = [5, 10, 20, 40, 80]
ROUNDS = 3
MACHINES = [2, 4, 8, 16, 32, 64]
NETWORKS = {"1 Gbit/s": (1e9, 50e-6), "10 Gbit/s": (1e10, 20e-6), "100 Gbit/s": (1e11, 5e-6)}  # bits/s, alpha
BATCHES = [20, 80, 320, 1280, 5120]  # of all machines together


def sums(rnn):
    """Print the time of the sum on two processes of this machine, by size and form."""
    print("| numbers | f32, ms | bf16, ms | f32, GB/s |\n|---|---|---|---|")
    for numbers in NUMBERS:
        found = []
        for form in ("f32", "bf16"):
            line = f"bench reduce --numbers {numbers} --reduce {form} --threads 1 --json"
            start = medium.launcher(2)
            done = subprocess.run([*start, rnn, *line.split()], capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout)["reduce_ms"])
        print(f"| {numbers} | {found[0]:.2f} | {found[1]:.2f} | {numbers * 4 / found[0] / 1e6:.1f} |", flush=True)


def steps(rnn):
    """Print and return the seconds of a step with all cores, by rows of the batch, and the bytes of gradients. Each is
    the fastest of the medians of ROUNDS, because others may share the machine.
    """
    shape = f"--hidden {medium.HIDDEN} --embedding {medium.HIDDEN} --layers {medium.LAYERS} --time {medium.TIME}"
    usual = f"bench lm --model lstm --vocab {medium.VOCABULARY} {shape} --optimizer sgd --json"
    rounds = {rows: [] for rows in ROWS}
    for _ in range(ROUNDS):
        for rows in ROWS:
            line = f"{usual} --batch {rows} --repeat {max(2, 40 // rows)}"
            done = subprocess.run([rnn, *line.split()], capture_output=True, text=True, check=True)
            result = json.loads(done.stdout)
            rounds[rows].append(result["step_ms"] / 1e3)
    print("\n| rows | step, ms | words/s |\n|---|---|---|")
    found = {rows: min(times) for rows, times in rounds.items()}
    for rows, seconds in found.items():
        print(f"| {rows} | {seconds * 1e3:.0f} | {rows * medium.TIME / seconds:.0f} |", flush=True)
    return found, result["parameters"] * 4


def step_seconds(found, rows):
    """The seconds of a step of any number of rows: on straight lines through the two measured ones next to it."""
    sizes = sorted(found)
    below = [size for size in sizes if size <= rows][-1:] or sizes[:1]
    above = [size for size in sizes if size > below[0]][:1] or sizes[-1:]
    low, high = (below[0], above[0]) if below != above else (sizes[-2], sizes[-1])
    return found[low] + (found[high] - found[low]) * (rows - low) / (high - low)


def project(found, size, digits):
    """Print how many times faster than one machine a step is, on each network, by batch and machines."""
    print(f"\nProjection, gradients in {digits}, {size / 1e6:.0f} MB:\n")
    print(f"| network | batch | {' | '.join(f'{count} machines' for count in MACHINES)} |")
    print(f"|---|---|{'---|' * len(MACHINES)}")
    for name, (bits, alpha) in NETWORKS.items():
        for batch in BATCHES:
            cells = []
            for count in MACHINES:
                if batch // count < min(ROWS):
                    cells.append("-")
                    continue
                exchange = 2 * (count - 1) / count * size * 8 / bits + 2 * (count - 1) * alpha
                cells.append(f"{step_seconds(found, batch) / (step_seconds(found, batch / count) + exchange):.1f}")
            print(f"| {name} | {batch} | {' | '.join(cells)} |")


def break_even(found, size):
    """Print the smallest batch with which two machines, and 16, are faster than one, and reach half of the ideal."""
    print("\n| network | 2 machines faster | 16 machines faster | 16 machines at least 8 times as fast |")
    print("|---|---|---|---|")
    for name, (bits, alpha) in NETWORKS.items():
        cells = []
        for count, least in ((2, 1), (16, 1), (16, 8)):
            exchange = 2 * (count - 1) / count * size * 8 / bits + 2 * (count - 1) * alpha
            fits = lambda batch: step_seconds(found, batch) >= least * (step_seconds(found, batch / count) + exchange)
            batches = (batch for batch in range(count * min(ROWS), 20000, count) if fits(batch))
            cells.append(str(next(batches, "more than 20000")))
        print(f"| {name} | {' | '.join(cells)} |")


def main():
    rnn = sys.argv[1]
    sums(rnn)
    found, size = steps(rnn)
    project(found, size, "f32")
    project(found, size / 2, "bf16")
    break_even(found, size)


main()
