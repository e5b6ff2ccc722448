"""Time programs alternately, so that a machine that changes its speed slows all of them alike."""

import json
import shlex
import statistics
import subprocess

# Small, medium and large layers, a single step, and a language model's training step with its decoder.
CASES = [
    "layer --model lstm --batch 20 --time 35 --hidden 200",
    "layer --model lstm --batch 20 --time 35 --hidden 650",
    "layer --model gru --batch 64 --time 100 --hidden 256",
    "layer --model gru --batch 1 --time 100 --hidden 256",
    "step --model lstm --hidden 256",
    "step --model gru --hidden 1024",
    "lm --model lstm --vocab 10000 --embedding 200 --hidden 200 --layers 2 --time 20 --batch 20",
]


def seconds(program, case, threads):
    """Run a program once, and return its times by name, in seconds."""
    command = [program, "bench", *shlex.split(case), "--json"]
    if threads:
        command += ["--threads", str(threads)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    units = {"_ms": 1e-3, "_us": 1e-6}
    return {key: value * units[key[-3:]] for key, value in result.items() if key[-3:] in units}


def measure(programs, case, rounds, threads):
    """Run a case alternately, and print a line for every time that it reports: the median of the first program, and
    the ratio of every other median to it. `programs` maps names to paths."""
    times = {value: {} for value in programs}
    for _ in range(rounds):
        for value, program in programs.items():
            for key, time in seconds(program, case, threads).items():
                times[value].setdefault(key, []).append(time)
    reference, *others = programs
    for key, reference_times in times[reference].items():
        base = statistics.median(reference_times)
        ratios = [f"{value}: {statistics.median(times[value][key]) / base:.3f}" for value in others]
        print(f"{case}  {key[:-3]}  {reference}: {base * 1e3:.3f} ms  {'  '.join(ratios)}", flush=True)
