"""PyTorch's side of the benchmark: the same network, training step and inference.

    twin.py --check [RUN]        compares the network with the golden runs whose names hold RUN
    twin.py --describe           prints one JSON object: versions and abilities of this Python
    twin.py --profile BACKBONE   where the time of a training step goes, by operation
    twin.py                      commands on standard input, answers on standard output, JSON lines:

    {"cmd": "setup", "task": "train" | "infer", "backbone": "resnet18", "size": 112,
     "batch": 64, "threads": 2, "variant": "eager" | "traced" | "compiled" | "graphed",
     "device": "cpu" | "cuda", "precision": "fp32" | "bf16"}
                                 -> {"ready": true} or {"error": "why this variant is not possible"}
    {"cmd": "run", "count": 3}   -> {"seconds": [wall time of each], "cpuSeconds": in all, "value": number}
    {"cmd": "memory"}            -> {"peakBytes": number}     peak resident set size of this process,
                                    "deviceBytes" too on a GPU: the most that tensors held there

Images are uint8 NHWC in the host's memory, as ours are; copying and normalising them is part of the
time. A training step reads its losses and its accuracy back, as ours does, a prediction everything it
computed. The layout is channels_last; bf16 is autocast. The variants live in variants.py.
"""

import argparse
import json
import os
import resource
import sys
import time

import torch

from networks import BACKBONES
from variants import Job


def cuda():
    """The first GPU as this PyTorch sees it; null without one."""
    if not torch.cuda.is_available():
        return None
    return {
        "name": torch.cuda.get_device_name(0),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


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
        """The first of these that occurs in the path of a loaded library."""
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
        "cuda": cuda(),
        "threads": torch.get_num_threads(),
    }


def profile(backbone, size, batch, threads):
    """A table of the operations of a training step, by the time spent in each alone."""
    from torch.profiler import ProfilerActivity, profile as profiler

    torch.set_num_threads(threads)
    job = Job("train", backbone, size, batch)
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


def device_bytes():
    """Peak memory of tensors on the GPU, for a process that uses one."""
    if not torch.cuda.is_initialized():
        return {}
    return {"deviceBytes": torch.cuda.max_memory_allocated()}


def serve():
    # Anything a library prints must not end up among the answers.
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
                answer = {"peakBytes": peak_bytes(), **device_bytes()}
            else:
                raise ValueError(f"unknown command '{command}'")
        except Exception as error:  # reported to the driver, which shows it
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", nargs="?", const="", metavar="RUN")
    parser.add_argument("--describe", action="store_true")
    parser.add_argument("--profile", choices=BACKBONES)
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
