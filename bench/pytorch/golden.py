"""Checks the network here against the project's golden runs (test/golden)."""

import glob
import json
import os

import torch

from networks import BACKBONES, Network, objective

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "test", "golden")


def fnv1a32(text):
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def uniform(name, count):
    """u(name, 0 .. count-1) in [-1, 1), float64; the formula is in test/golden/README.md."""
    mask = 0xFFFFFFFF
    x = (fnv1a32(name) + torch.arange(count, dtype=torch.int64) * 0x9E3779B9) & mask
    x ^= x >> 16
    x = multiply32(x, 0x85EBCA6B)
    x ^= x >> 13
    x = multiply32(x, 0xC2B2AE35)
    x ^= x >> 16
    return x.double() / 2**31 - 1


def multiply32(x, factor):
    """x * factor modulo 2^32; the product is cut in two so that int64 holds it."""
    low = (x & 0xFFFF) * factor
    high = ((x >> 16) * factor & 0xFFFF) << 16
    return (low + high) & 0xFFFFFFFF


def seeded_tensor(seed, key, shape):
    u = uniform(f"{seed}.{key}", shape.numel())
    if key.endswith("running_mean"):
        u = 0.1 * u
    elif key.endswith("running_var"):
        u = 1 + 0.25 * (u + 1)
    elif "relative_position_bias_table" in key:
        u = 0.5 * u
    elif key.endswith("bn3.weight"):
        u = 0.25 + 0.05 * u
    elif len(shape) == 1:
        u = 1 + 0.2 * u if key.endswith("weight") else 0.1 * u
    else:
        fan_in = shape.numel() // shape[0]
        u = u * (3 / fan_in) ** 0.5
    return u.float().reshape(shape)


class Run:
    """A golden run's network, inputs and optimizer, from `args` alone."""

    def __init__(self, args):
        self.seed, self.size, self.batch = str(args["seed"]), args["size"], args["batch"]
        self.text = (0.3 * uniform(self.seed + ".text", 7 * 512)).float().reshape(7, 512)
        backbone = next(name for name in BACKBONES if name.replace("-", "") == args["model"])
        self.network = Network(backbone, self.size, self.text, 100.0, drop_path=0.0)
        state = {
            key: seeded_tensor(self.seed, key, value.shape)
            for key, value in self.network.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        self.network.load_state_dict(state, strict=False)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), args["lr"], momentum=0.9, weight_decay=5e-4
        )
        self.contrast = args["contrast"]

    def images(self, step):
        u = uniform(f"{self.seed}.image.{step}", self.batch * 3 * self.size**2).float()
        return u.reshape(self.batch, 3, self.size, self.size)

    def labels(self, step):
        u = uniform(f"{self.seed}.label.{step}", self.batch)
        return ((u + 1) / 2 * 7).floor().long()

    def evaluate(self, images):
        """(logits, f_e, f_n) in evaluation mode."""
        self.network.eval()
        with torch.no_grad():
            return self.network(images)

    def backward(self, images, labels):
        """The losses in training mode; leaves the gradients."""
        self.network.train()
        losses = objective(*self.network(images), labels, self.text, 6, self.contrast)
        self.optimizer.zero_grad(set_to_none=True)
        losses[0].backward()
        return [float(loss.detach()) for loss in losses]


def difference(value, expected):
    return abs(value - expected) / max(1.0, abs(expected))


def check(path):
    """Relative differences from a golden run; `gradients` are those of the first step's norms."""
    with open(path, encoding="utf-8") as file:
        golden = json.load(file)
    run = Run(golden["args"])
    run.network.to(memory_format=torch.channels_last)

    def images(step):
        return run.images(step).contiguous(memory_format=torch.channels_last)

    logits = run.evaluate(images(0))[0]
    expected = torch.tensor(golden["eval"]["logits"])
    found = {"logits": float((logits - expected).abs().max() / expected.abs().max())}
    losses_by_step, gradients = [], []
    for step, wanted in enumerate(golden["steps"]):
        labels = run.labels(step)
        if labels.tolist() != wanted["labels"]:
            raise SystemExit(f"{path}: the labels of step {step} are not the golden ones")
        losses = run.backward(images(step), labels)
        named = zip(losses, ("loss", "L_s", "L_t", "L_c"))
        losses_by_step.append(max(difference(loss, wanted[name]) for loss, name in named))
        parameters = dict(run.network.named_parameters())
        for name, digest in wanted.get("gradients", {}).items():
            # Zero in exact arithmetic, only rounding here: see test/golden/README.md.
            if name not in ("encoder.norm.bias", "encoder.feature.1.bias"):
                norm = float(parameters[name].grad.double().norm())
                gradients.append(abs(norm / digest["norm"] - 1))
        run.optimizer.step()
    found["first losses"] = losses_by_step[0]
    found["later losses"] = max(losses_by_step[1:])
    found["median gradient"] = sorted(gradients)[len(gradients) // 2]
    found["worst gradient"] = max(gradients)
    return found


# In the runs of ResNet-18 at 112 an activation is so close to 0 that the order of a sum decides which
# side of relu it falls on: with channels_last, or another instruction set, the gradients before it
# move by up to 9e-4, and the losses after an update by 1.3e-3. The other bounds are tight.
BOUNDS = {
    "logits": 1e-5,
    "first losses": 1e-4,
    "later losses": 5e-3,
    "median gradient": 1e-4,
    "worst gradient": 3e-3,
}


def check_all(name):
    """Prints one line per golden run with `name` in its name; True if all are within `BOUNDS`."""
    paths = sorted(glob.glob(os.path.join(FOLDER, f"*{name}*.json")))
    good = len(paths) > 0
    for path in paths:
        found = check(path)
        fine = all(found[name] < bound for name, bound in BOUNDS.items())
        good = good and fine
        figures = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
        print(f"{'ok  ' if fine else 'FAIL'} {os.path.basename(path)}: {figures}", flush=True)
    return good
