"""PyTorch's side of the benchmark: the same network, training step and inference.

    twin.py --check [RUN]        compares the network with the golden runs whose names hold RUN
    twin.py --describe           prints one JSON object: versions and abilities of this Python
    twin.py --profile BACKBONE   where the time of a training step goes, by operation
    twin.py                      commands on standard input, answers on standard output, JSON lines:

    {"cmd": "setup", "task": "train" | "infer", "backbone": "resnet18" | "swin-t", "size": 112,
     "batch": 64, "threads": 2, "variant": "eager" | "traced" | "compiled" | "bf16"}
                                 -> {"ready": true} or {"error": "why this variant is not possible"}
    {"cmd": "run", "count": 3}   -> {"seconds": [wall time of each], "cpuSeconds": in all, "value": number}
    {"cmd": "memory"}            -> {"peakBytes": number}     peak resident set size of this process

Images are uint8 NHWC, as ours are; normalising them is part of the time. A training step reads its
losses and its accuracy back, as ours does. The layout is channels_last, the precision float32; bf16
is autocast and is marked as another precision by whoever shows it.
"""

import argparse
import json
import os
import resource
import sys
import time

import torch

from networks import Network, objective

CLASSES, NEUTRAL = 7, 6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def sgd(parameters):
    """SGD of the method; fused where this PyTorch has it for the CPU (the fastest one it offers)."""
    settings = {"lr": 0.002, "momentum": 0.9, "weight_decay": 5e-4}
    parameters = list(parameters)
    try:
        return torch.optim.SGD(parameters, fused=True, **settings)
    except (TypeError, RuntimeError):
        return torch.optim.SGD(parameters, **settings)


class Job:
    """One network with one batch of images, ready to be stepped."""

    def __init__(self, task, backbone, size, batch, variant, channels_last=True):
        torch.manual_seed(0)
        self.task, self.variant = task, variant
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.mean = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(STD).view(1, 3, 1, 1) * 255
        self.text = torch.randn(CLASSES, 512)
        self.images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
        self.labels = torch.arange(batch) % CLASSES
        self.network = Network(backbone, size, self.text).to(memory_format=self.format)
        self.network.train(task == "train")
        if task == "train":
            self.optimizer = sgd(self.network.parameters())
            self.run = self.network
            if variant == "compiled":
                self.run = torch.compile(self.network)
            elif variant == "traced":
                raise ValueError("traced: for inference only")
            return
        if variant == "traced":
            with torch.no_grad():
                traced = torch.jit.trace(self.network, self.normalized())
                self.run = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
        else:
            self.run = torch.compile(self.network) if variant == "compiled" else self.network

    def normalized(self):
        images = self.images.permute(0, 3, 1, 2).to(torch.float32, memory_format=self.format)
        return images.sub_(self.mean).div_(self.std)

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.variant == "bf16")

    def train_step(self):
        with self.autocast():
            output = self.run(self.normalized())
        output = [value.float() for value in output]
        losses = objective(*output, self.labels, self.text, NEUTRAL)
        self.optimizer.zero_grad(set_to_none=True)
        losses[0].backward()
        self.optimizer.step()
        correct = int((output[0].argmax(1) == self.labels).sum())
        return [float(value) for value in losses] + [correct]

    def predict(self):
        with torch.inference_mode(), self.autocast():
            return [value.float() for value in self.run(self.normalized())]

    def step(self):
        return self.train_step() if self.task == "train" else self.predict()

    def timed(self, count):
        seconds, result = [], None
        cpu = time.process_time()
        for _ in range(count):
            start = time.perf_counter()
            result = self.step()
            seconds.append(time.perf_counter() - start)
        cpu = time.process_time() - cpu
        value = result[0] if self.task == "train" else float(result[0].abs().mean())
        return {"seconds": seconds, "cpuSeconds": cpu, "value": value}


def describe():
    try:
        import torchvision

        vision = torchvision.__version__
    except Exception:  # absent, or built for another torch
        vision = None
    config = torch.__config__.show()
    lines = [line.strip(" -") for line in config.split("\n")]

    def find(*words):
        return next((line for line in lines if any(word in line for word in words)), None)

    with open("/proc/self/maps", encoding="utf-8") as maps:
        loaded = sorted({line[line.index("/") :].strip() for line in maps if ".so" in line})

    def library(*names):
        """The first of these that a loaded library has in its path."""
        return next((name for name in names if any(name in path for path in loaded)), None)

    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "location": os.path.dirname(torch.__file__),
        "torchvision": vision,
        "oneDNN": find("MKL-DNN", "oneDNN"),
        "mkl": torch.backends.mkl.is_available(),
        "blas": library("openblas", "libmkl", "blis", "atlas", "libblas"),
        "isa": find("CPU capability"),
        "allocator": library("tcmalloc", "jemalloc", "mimalloc") or "libc",
        "compile": hasattr(torch, "compile"),
        "threads": torch.get_num_threads(),
    }


def profile(backbone, size, batch, threads):
    """A table of the operations of a training step, by the time spent in each alone."""
    from torch.profiler import ProfilerActivity, profile as profiler

    torch.set_num_threads(threads)
    job = Job("train", backbone, size, batch, "eager")
    for _ in range(2):
        job.step()
    steps = 3
    with profiler(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(steps):
            job.step()
    rows = sorted(recorded.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    print(f"{backbone} {size} b{batch}, {threads} threads: {total / steps / 1e3:.1f} ms a step")
    for row in rows[:24]:
        own = row.self_cpu_time_total
        print(f"{own / steps / 1e3:9.2f} ms {100 * own / total:5.1f} % {row.count // steps:5d}x {row.key}")


def peak_bytes():
    """Peak resident set size; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve():
    # Whatever a library prints must not end up among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = None
    for line in sys.stdin:
        request = json.loads(line)
        command = request.pop("cmd")
        try:
            if command == "setup":
                torch.set_num_threads(request.pop("threads"))
                job = Job(**request)
                job.step()  # compiles, traces, packs; not timed
                answer = {"ready": True}
            elif command == "run":
                answer = job.timed(request["count"])
            elif command == "memory":
                answer = {"peakBytes": peak_bytes()}
            else:
                raise ValueError(f"unknown command '{command}'")
        except Exception as error:  # told to the driver, which shows it
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", nargs="?", const="", metavar="RUN")
    parser.add_argument("--describe", action="store_true")
    parser.add_argument("--profile", choices=("resnet18", "swin-t"))
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    if args.describe:
        print(json.dumps(describe()))
    elif args.profile:
        profile(args.profile, args.size, args.batch, args.threads)
    elif args.check is not None:
        from golden import check_all

        torch.set_num_threads(args.threads)
        sys.exit(0 if check_all(args.check) else 1)
    else:
        serve()


if __name__ == "__main__":
    main()
