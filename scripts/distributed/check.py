"""Train on several processes with Open MPI, end processes, resume, and print figures.

Usage: check.py RNN [CHECK...]; scripts/distributed/check builds the program and calls it.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RNN = sys.argv[1]

# The largest relative difference of losses between numbers of processes, of the curve and of the trained bundle.
CURVE, SCORE = 1e-4, 1e-3

# The most seconds that the other processes take to end after one of them.
END = 10

STEPS = 300

KILLS = int(os.environ.get("KILLS", "20"))

# The options of a language model, a classifier and a forecaster.
TASKS = {
    "language model": "lstm --data text.txt --hidden 64 --embedding 32 --batch-size 16 --bptt 16 --lr 0.002"
    " --dropout 0 --state-reset 0",
    "classifier": "gru --data texts.csv --label-column label --task classify --hidden 24 --embedding 16 --batch-size 12"
    " --lr 0.001 --average none --dropout 0",
    "forecaster": "gru --data series.csv --task forecast --target y --horizon 6 --window 24 --hidden 24"
    " --batch-size 12 --lr 0.001 --dropout 0",
}


def write_data(folder):
    """Write a text, labelled texts, and a series with missing values, from a fixed seed."""
    draw = random.Random(1)
    words = [
        "".join(draw.choice("aeiou" if at % 2 else "bdklmnrst") for at in range(draw.randint(2, 7)))
        for _ in range(60)
    ]
    weights = [1 / rank for rank in range(1, 61)]
    sentence = lambda: " ".join(draw.choices(words, weights, k=draw.randint(2, 12)))
    (folder / "text.txt").write_text("".join(sentence() + ".\n" for _ in range(4000)))
    rows = [sentence() for _ in range(700)]
    label = lambda row: "long" if len(row) > 35 else "short"
    (folder / "texts.csv").write_text("text,label\n" + "".join(f"{row},{label(row)}\n" for row in rows))
    value = lambda step: "" if draw.random() < 0.1 else f"{10 + step % 12 + draw.gauss(0, 1):.3f}"
    (folder / "series.csv").write_text("step,y\n" + "".join(f"{step},{value(step)}\n" for step in range(900)))


def command(ranks, line, wait=1):
    """Return the command of a run on so many processes, each of one thread. After Ctrl-C mpirun waits `wait` seconds
    until it sends SIGTERM, and as long until it kills.
    """
    waits = ["--mca", "odls_base_sigkill_timeout", str(wait)]
    launcher = ["mpirun", "--oversubscribe", "--bind-to", "none", *waits]
    start = [*launcher, "-n", str(ranks)] if ranks > 1 else []
    return [*start, RNN, *line.split(), *([] if "--threads" in line else ["--threads", "1"])]


def run(folder, ranks, line, code=0):
    """Run a command to its end and return what it wrote on standard output and standard error."""
    done = subprocess.run(command(ranks, line), cwd=folder, capture_output=True, text=True, timeout=600)
    if (done.returncode == 0) != (code == 0):
        sys.exit(f"`rnn {line}` on {ranks} processes: exit code {done.returncode}\n{done.stderr}")
    return done.stdout, done.stderr


def curve(bundle):
    """Return the training loss at each step, and the loss of the last evaluation."""
    lines = [json.loads(line) for line in (bundle / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if line["split"] == "train"}
    return losses, [line["loss"] for line in lines if line["split"] == "valid"][-1]


def difference(found, expected):
    """Return the relative difference of two numbers."""
    return abs(found - expected) / max(abs(expected), 1e-9)


def check(name, passed, figure):
    """Print a figure, and end if it is not as expected."""
    print(f"{'ok' if passed else 'FAILED'}  {name}: {figure}", flush=True)
    if not passed:
        sys.exit(1)


def parity(folder):
    """The curve and the score of 2 and 4 processes are those of one."""
    for task, options in TASKS.items():
        curves, scores = {}, {}
        for ranks in (1, 2, 4):
            bundle = f"parity-{ranks}"
            length = f"--max-steps {STEPS} --eval-every 100 --log-every 1"
            run(folder, ranks, f"train {options} {length} --out {bundle} --force")
            curves[ranks], _ = curve(folder / bundle)
            data = options.split("--data ")[1].split()[0]
            scores[ranks] = json.loads(run(folder, 1, f"eval {bundle} --data {data} --split test --json")[0])["loss"]
        for ranks in (2, 4):
            losses, expected = curves[ranks], curves[1]
            if len(losses) != STEPS or losses.keys() != expected.keys():
                sys.exit(f"{task}: {len(losses)} reports; expected {STEPS}")
            far = max(difference(losses[step], expected[step]) for step in losses)
            check(f"{task}, {ranks} processes, largest difference of {STEPS} losses", far <= CURVE, f"{far:.1e}")
            far = difference(scores[ranks], scores[1])
            check(f"{task}, {ranks} processes, difference of the score", far <= SCORE, f"{far:.1e}")


def failures(folder):
    """A process that fails ends the others with one line that names it."""
    usual = f"train {TASKS['language model']} --max-steps {STEPS} --force --out failed"
    cases = [
        ("missing file", usual.replace("text.txt", "missing.txt"), ["rnn: rank 1: missing.txt: no such file"]),
        ("other option", usual.replace("--lr 0.002", "--lr 0.003"), ["rank 1 has --lr 0.003, but rank 0 has 0.002"]),
        ("other data", usual.replace("text.txt", "other.txt"), ["rank 1 has a part of the train split with the"]),
        ("wrong flag", usual.replace("--hidden 64", "--hidden x"), ["rnn: rank 1: --hidden"]),
        ("other build", usual, ["rank 1 has the program "]),
    ]
    # A file that differs in its last byte.
    build = folder / "other-rnn"
    build.write_bytes(Path(RNN).read_bytes() + b"\0")
    build.chmod(0o755)
    (folder / "other.txt").write_text((folder / "text.txt").read_text().replace("a", "e"))
    for name, line, expected in cases:
        began = time.monotonic()
        start = command(2, usual)
        start[start.index("-n") + 1] = "1"
        other = build if name == "other build" else RNN
        both = [*start, ":", "-n", "1", other, *line.split(), "--threads", "1"]
        done = subprocess.run(both, cwd=folder, capture_output=True, text=True, timeout=120)
        seconds = time.monotonic() - began
        own = [text for text in done.stderr.splitlines() if text.startswith("rnn: ")]
        passed = done.returncode != 0 and len(own) == 1 and all(text in own[0] for text in expected)
        check(f"{name} of rank 1 ends both", passed and seconds < END, f"{seconds:.1f} s; {own or done.stderr}")


def processes_of(launcher):
    """Return the numbers of the processes that a launcher on this machine started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)
        except OSError:
            continue
        if int(fields[1].split()[1]) == launcher and "rnn" in fields[0]:
            found.append(int(status.parent.name))
    return sorted(found)


def wait_for(condition, seconds, what):
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.02)


# A run with every source of random numbers, which saves often.
NOISY = (
    "train rnnlm --data text.txt --hidden 16 --embedding 16 --layers 2 --dropout 0.2 --batch-size 8 --bptt 16"
    " --state-reset 0.1 --optimizer adam --lr 0.002 --eval-every 20"
)


def files(bundle):
    """Return the bytes of the parameters and of the state of a run."""
    names = ["model.safetensors", *(f"training/{name}.safetensors" for name in ("last", "best", "optimizer", "carry"))]
    return {name: (bundle / name).read_bytes() for name in names}


def spawn(folder, ranks, line, wait=1):
    """Start a run, and return it once its processes are there."""
    errors = (folder / "stderr.txt").open("w")
    started = subprocess.Popen(command(ranks, line, wait), cwd=folder, stderr=errors, stdout=errors)
    wait_for(lambda: len(processes_of(started.pid)) == ranks or started.poll() is not None, 60, "start")
    return started


def interrupt(folder):
    """Ctrl-C to the launcher, and SIGTERM to one of the processes, save the run once."""
    for name, number in (("Ctrl-C to mpirun", signal.SIGINT), ("SIGTERM to rank 1", signal.SIGTERM)):
        bundle = folder / "interrupted"
        line = f"{NOISY} --max-steps 100000 --out interrupted --force".replace("--eval-every 20", "--eval-every 9999")
        started = spawn(folder, 2, line, 5)
        time.sleep(3)
        os.kill(started.pid if number == signal.SIGINT else processes_of(started.pid)[1], number)
        started.wait(timeout=60)
        text = (folder / "stderr.txt").read_text()
        said = [line for line in text.splitlines() if line.startswith("stopped after step ")]
        state = json.loads((bundle / "training/state.json").read_text())
        step = state["state"]["progress"]["step"]
        passed = len(said) == 1 and said[0].startswith(f"stopped after step {step};")
        check(f"{name} saves once", passed, said[0] if said else text)


def kills(folder):
    """Runs whose processes are killed at random, and resumed, end with the bytes of one left alone."""
    draw, killed, named, runs, longest = random.Random(2), 0, 0, 0, 0.0
    ranks, length = 2, 1200
    run(folder, ranks, f"{NOISY} --max-steps {length} --out whole --force")
    expected = files(folder / "whole")
    while killed < KILLS:
        runs += 1
        line, bundle = f"{NOISY} --max-steps {length} --out killed", folder / "killed"
        shutil.rmtree(bundle, ignore_errors=True)
        while True:
            started = spawn(folder, ranks, line)
            time.sleep(draw.uniform(0.8, 2.5))
            victims = processes_of(started.pid)
            if killed < KILLS and len(victims) == ranks and started.poll() is None:
                began = time.monotonic()
                victim = draw.choice(victims)
                os.kill(victim, signal.SIGKILL)
                started.wait(timeout=60)
                # The launcher starts ranks in their order. The number of the process in its line is 0.
                rank = victims.index(victim)
                named_here = f"mpirun noticed that process rank {rank} with" in (folder / "stderr.txt").read_text()
                longest = max(longest, time.monotonic() - began)
                # A kill before the first save leaves nothing to resume, and counts for nothing.
                if (bundle / "training").exists():
                    named += named_here
                    killed += 1
            elif started.wait(timeout=600) == 0:
                break
            if (bundle / "config.json").exists() and (bundle / "training").exists():
                line = "train --resume killed"
        same = files(bundle) == expected
        check(f"run {runs}: bytes after {killed} kills so far are those of the run left alone", same, same)
    check("kills that the launcher reports with the rank", named == killed, f"{named} of {killed}")
    check(f"{killed} kills: seconds until all processes have ended, at most", longest < END, f"{longest:.1f}")


CHECKS = {"parity": parity, "failures": failures, "interrupt": interrupt, "kills": kills}


def main():
    names = sys.argv[2:] or list(CHECKS)
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder))
        for name in names:
            CHECKS[name](Path(folder))


main()
