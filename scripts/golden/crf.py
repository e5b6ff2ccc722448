"""Golden values of a conditional random field, from its definition: sums over all sequences of tags, in f64.

NumPy is all it needs. The file is tests/golden/crf.safetensors:

    output     losses (batch), loss, their mean, and best (batch, time), the tags of the highest score, padded with 0
    gradient   of loss
"""

from itertools import product

import numpy as np

from fixtures import BATCH, TIME, Fixture

TAGS = 4
LENGTHS = [3, 5, 1]
FORBIDDEN = -1e4


def score(emissions, tags, start, transitions, end):
    """The score s(y) of one sequence of tags."""
    steps = sum(emissions[t, tag] for t, tag in enumerate(tags))
    pairs = sum(transitions[before, after] for before, after in zip(tags, tags[1:]))
    return start[tags[0]] + steps + pairs + end[tags[-1]]


def counts(tags, shape):
    """How often each parameter and emission occurs in s(y): its gradient."""
    found = {
        "emissions": np.zeros(shape),
        "start_transitions": np.zeros(TAGS),
        "transitions": np.zeros((TAGS, TAGS)),
        "end_transitions": np.zeros(TAGS),
    }
    for t, tag in enumerate(tags):
        found["emissions"][t, tag] += 1
    for before, after in zip(tags, tags[1:]):
        found["transitions"][before, after] += 1
    found["start_transitions"][tags[0]] += 1
    found["end_transitions"][tags[-1]] += 1
    return found


def sequence(emissions, targets, potentials):
    """The loss -log p(targets), its gradients by name, and the best tags of one sequence."""
    every = list(product(range(TAGS), repeat=len(emissions)))
    scores = np.array([score(emissions, tags, *potentials) for tags in every])
    total = np.logaddexp.reduce(scores)
    gradients = {name: -count for name, count in counts(targets, emissions.shape).items()}
    for tags, p in zip(every, np.exp(scores - total)):
        for name, count in counts(tags, emissions.shape).items():
            gradients[name] += p * count
    return total - score(emissions, targets, *potentials), gradients, every[np.argmax(scores)]


def add(fixture, case, lengths=None, forbidden=()):
    """Adds one batch. `forbidden` are pairs of tags that cannot follow each other."""
    names = ("start_transitions", "transitions", "end_transitions")
    shapes = ((TAGS,), (TAGS, TAGS), (TAGS,))
    parameters = {name: fixture.random(*shape, scale=1.0) for name, shape in zip(names, shapes)}
    for pair in forbidden:
        parameters["transitions"][pair] = FORBIDDEN
    emissions = fixture.random(BATCH, TIME, TAGS, scale=1.5)
    targets = np.zeros((BATCH, TIME), np.uint32)
    best = np.zeros((BATCH, TIME))
    gradients = {name: np.zeros(shape) for name, shape in zip(names, shapes)}
    gradients["emissions"] = np.zeros(emissions.shape)
    losses = []
    potentials = [parameters[name].astype(np.float64) for name in names]
    for row, length in enumerate(lengths or [TIME] * BATCH):
        tags = []
        while len(tags) < length:
            allowed = [tag for tag in range(TAGS) if not tags or (tags[-1], tag) not in forbidden]
            tags.append(int(fixture.rng.choice(allowed)))
        targets[row, :length] = tags
        loss, own, found = sequence(emissions[row, :length].astype(np.float64), tags, potentials)
        losses.append(loss)
        best[row, :length] = found
        gradients["emissions"][row, :length] = own.pop("emissions") / BATCH
        for name, gradient in own.items():
            gradients[name] += gradient / BATCH
    fixture.add(
        case,
        {"tags": TAGS, "lengths": lengths},
        parameter=parameters,
        input={"emissions": emissions, "targets": targets},
        output={"losses": np.array(losses), "loss": np.mean(losses), "best": best},
        gradient=gradients,
    )


if __name__ == "__main__":
    fixture = Fixture("crf", seed=7)
    add(fixture, "full")
    add(fixture, "padded", LENGTHS)
    add(fixture, "padded-forbidden", LENGTHS, forbidden=[(0, 2), (3, 3)])
    fixture.write()
