"""Golden values for optimizers, gradient clipping and learning-rate schedules, from PyTorch.

    python scripts/golden/optim.py tests/golden/optim.safetensors

Two parameters take ten steps of given gradients under every optimizer and setting below; parameter
`b` has no gradient in the third step, as one that a model left unused. Each setting is run in f64,
so the file holds the equations' own values rather than one library's rounding.
"""

import sys

import torch
from safetensors.torch import save_file

STEPS = 10
SHAPES = {"a": (3, 4), "b": (5,)}
UNUSED = {("b", 2)}

# The test builds the same settings under the same names.
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.05),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd_nesterov_decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adam_decay": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "adamw_decay": lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "rmsprop_decay": lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.9, eps=1e-4, weight_decay=0.05),
}

# (base learning rate, total steps) of every schedule that counts steps.
BASE = 0.3
TOTAL = 40
WARMUP = 7


def learning_rates(scheduler, optimizer, arguments):
    """The learning rate in force at each step, `scheduler.step` called with one argument list after each."""
    rates = []
    for argument in arguments:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*argument)
    return torch.tensor(rates, dtype=torch.float64)


def schedules(losses):
    def fresh():
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)

    def warm_cosine(optimizer, warmup, floor):
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL - warmup, eta_min=floor)
        if warmup == 0:
            return cosine
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[warmup])

    lr = torch.optim.lr_scheduler
    steps = [()] * TOTAL
    made = {
        "step": (lambda o: lr.StepLR(o, step_size=3, gamma=0.5), steps),
        "plateau": (
            lambda o: lr.ReduceLROnPlateau(o, factor=0.25, patience=2, threshold=0.0, eps=0.0),
            [(loss,) for loss in losses.tolist()],
        ),
        "cosine": (lambda o: warm_cosine(o, 0, 0.1 * BASE), steps),
        "cosine_warmup": (lambda o: warm_cosine(o, WARMUP, 0.0), steps),
        "one_cycle": (lambda o: lr.OneCycleLR(o, max_lr=BASE, total_steps=TOTAL), steps[:-1]),
        "one_cycle_set": (
            lambda o: lr.OneCycleLR(
                o, max_lr=BASE, total_steps=TOTAL, pct_start=0.45, div_factor=10, final_div_factor=50
            ),
            steps[:-1],
        ),
    }
    for name, (make, arguments) in made.items():
        optimizer = fresh()
        yield name, learning_rates(make(optimizer), optimizer, arguments)


def main(path):
    torch.manual_seed(20240607)
    start = {name: torch.randn(shape, dtype=torch.float64).float().double() for name, shape in SHAPES.items()}
    grads = {name: torch.randn((STEPS, *shape), dtype=torch.float64).float().double() for name, shape in SHAPES.items()}
    # One entry of `a` never moves: a zero gradient must not divide by zero.
    grads["a"][:, 0, 0] = 0.0
    out = {f"start.{name}": value for name, value in start.items()}
    out |= {f"grad.{name}": value for name, value in grads.items()}

    for setting, make in OPTIMIZERS.items():
        parameters = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
        optimizer = make(list(parameters.values()))
        trace = {name: [] for name in parameters}
        for step in range(STEPS):
            for name, parameter in parameters.items():
                parameter.grad = None if (name, step) in UNUSED else grads[name][step].clone()
            optimizer.step()
            for name, parameter in parameters.items():
                trace[name].append(parameter.detach().clone())
        out |= {f"{setting}.{name}": torch.stack(values) for name, values in trace.items()}

    for label, limit in {"clipped": 2.0, "unclipped": 100.0}.items():
        parameters = {name: torch.nn.Parameter(torch.zeros_like(value)) for name, value in start.items()}
        for name, parameter in parameters.items():
            parameter.grad = grads[name][0].clone()
        out[f"{label}.norm"] = torch.nn.utils.clip_grad_norm_(parameters.values(), limit).reshape(1)
        out |= {f"{label}.{name}": parameter.grad for name, parameter in parameters.items()}

    losses = (3.0 - 0.05 * torch.arange(TOTAL) + 0.3 * torch.randn(TOTAL)).double()
    out["schedule.losses"] = losses
    out |= {f"schedule.{name}": rates for name, rates in schedules(losses)}
    save_file({name: value.contiguous() for name, value in out.items()}, path)


if __name__ == "__main__":
    main(*sys.argv[1:])
