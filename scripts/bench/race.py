"""Trains a recipe with rnn-zoo and with PyTorch, one after the other, and compares their times to the same loss.

    scripts/bench/race RECIPE DATA STEPS EVERY [--first torch]

DATA is a folder with train.txt and valid.txt. Both evaluate every EVERY steps; the learning rate falls over STEPS.
Prints every evaluation of both, and for each loss that both reached the ratio of PyTorch's seconds to ours.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "target" / "bench" / "race"
EVALUATED = 250_000  # largest number of tokens of an evaluation in training


def ours(a):
    command = [ROOT / "target/release/rnn", "train", "--recipe", a.recipe, "--data", a.data, "--threads", "2"]
    length = ["--max-steps", str(a.steps), "--eval-every", str(a.every), "--log-every", str(a.every)]
    subprocess.run([*command, *length, "--out", RUN, "--force"], check=True, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (RUN / "metrics.jsonl").read_text().splitlines()]
    tokens = json.loads(
        subprocess.run(
            [ROOT / "target/release/rnn", "eval", RUN, "--data", a.data, "--split", "valid", "--json"],
            check=True, capture_output=True, text=True,
        ).stdout
    )["tokens"]
    tokens = min(tokens, EVALUATED)
    evaluating, found = 0.0, []
    for line in lines:
        if line["split"] == "valid":
            # `seconds` counts from the start of the run. Evaluations are subtracted; saving and samples are not.
            took = tokens / line["tokens_per_second"]
            found.append((line["step"], line["seconds"] - evaluating - took, line["loss"]))
            evaluating += took
    return found


def torch(a):
    script = Path(__file__).with_name("torch_recipe.py")
    data = Path(a.data)
    arguments = [a.recipe, data / "train.txt", data / "valid.txt", str(a.steps), str(a.every)]
    out = subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [(line["step"], line["seconds"], line["loss"]) for line in map(json.loads, out.splitlines())]


def reached(found, loss):
    return next((seconds for _, seconds, other in found if other <= loss), None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("data")
    parser.add_argument("steps", type=int)
    parser.add_argument("every", type=int)
    parser.add_argument("--first", choices=["ours", "torch"], default="ours")
    a = parser.parse_args()
    runners = {"ours": ours, "torch": torch}
    order = sorted(runners, key=lambda name: name != a.first)
    found = {name: runners[name](a) for name in order}
    for name in runners:
        for step, seconds, loss in found[name]:
            print(f"{name:6} step {step:6} {seconds:8.1f} s  loss {loss:.4f}")
    for _, seconds, loss in found["torch"]:
        our_seconds = reached(found["ours"], loss)
        if our_seconds is not None:
            times = f"PyTorch {seconds:.1f} s, ours {our_seconds:.1f} s"
            print(f"loss {loss:.4f}: {times}, ratio {seconds / our_seconds:.2f}")


if __name__ == "__main__":
    main()
