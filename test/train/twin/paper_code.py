"""The authors' recipe by PyTorch and torchvision, for test/train/paper-code.test.ts.

    paper_code.py JOB.json     prints one JSON object; exit status 3 and a reason where torch is missing

JOB: {"weights": safetensors file, "text": [K * 512 numbers], "classes": K, "neutral": index, "scale": s,
      "batches": file of float32 (steps, B, S, S, 3), augmented and normalised, "labels": [[B] a step],
      "size": S, "learningRates": [one a step], "schedule": {"epochs": E}, "draws": N, "drawSize": S}
"""

import json
import math
import os
import sys

try:
    import torch
    from torchvision import transforms
except ImportError as error:
    print(error)
    sys.exit(3)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench", "pytorch"))
from networks import Network, objective  # noqa: E402


def read_safetensors(path):
    """Float32 tensors by name: a length, a JSON header, the bytes."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(data, dtype=torch.float32, offset=8 + length + begin,
                                  count=(end - begin) // 4)
        tensors[name] = values.reshape(entry["shape"]).clone()
    return tensors


def schedule(epochs):
    """The learning rate of each epoch, as torch's scheduler steps it."""

    def factor(epoch):
        if epoch == 0:
            return 1e-4 / 0.002
        return 0.001 * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 0.002

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.002)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def statistics(count, size):
    """Draws of torchvision's own transforms, with the recipe's arguments."""
    torch.manual_seed(29)
    padded = torch.zeros(3, size + 8, size + 8)
    image = torch.zeros(3, size, size)
    erasing = transforms.RandomErasing(p=0.5, scale=(0.02, 0.25), ratio=(0.3, 3.3), value=0)
    crop = transforms.RandomApply([lambda _: "cropped"], p=0.5)
    flip = transforms.RandomHorizontalFlip(p=0.5)
    ramp = torch.arange(2.0).reshape(1, 1, 2)
    cropped = sum(crop(None) == "cropped" for _ in range(count))
    flipped = sum(int(flip(ramp)[0, 0, 0]) for _ in range(count))
    offsets = [transforms.RandomCrop.get_params(padded, (size, size))[:2] for _ in range(count)]
    erased = sum(bool(torch.rand(1) < erasing.p) for _ in range(count))
    boxes = [
        erasing.get_params(image, scale=erasing.scale, ratio=erasing.ratio, value=[0.0])[:4]
        for _ in range(count)
    ]
    return {"cropped": cropped, "flipped": flipped, "offsets": offsets, "erased": erased,
            "boxes": boxes}


def train(job, dtype):
    """Losses of each step on exactly the images that countenance trains on."""
    size, classes, neutral = job["size"], job["classes"], job["neutral"]
    text = torch.tensor(job["text"], dtype=torch.float32).reshape(classes, 512).to(dtype)
    network = Network("resnet18", size, text, job["scale"])
    unknown = network.load_state_dict(read_safetensors(job["weights"]), strict=False)
    missing = [name for name in unknown.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not unknown.unexpected_keys, unknown
    network.to(dtype).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4)
    batch = len(job["labels"][0])
    images = torch.from_file(job["batches"], size=len(job["labels"]) * batch * size * size * 3)
    images = images.reshape(-1, batch, size, size, 3).permute(0, 1, 4, 2, 3)
    steps = []
    for inputs, labels, rate in zip(images, job["labels"], job["learningRates"]):
        optimizer.param_groups[0]["lr"] = rate
        labels = torch.tensor(labels)
        optimizer.zero_grad()
        logits, expression, neutral_face = network(inputs.contiguous().to(dtype))
        losses = objective(logits, expression, neutral_face, labels, text, neutral)
        losses[0].backward()
        optimizer.step()
        correct = int((logits.argmax(1) == labels).sum())
        steps.append([float(value) for value in losses] + [correct / batch])
    return steps


def main():
    torch.set_num_threads(1)
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    print(json.dumps({
        "torch": torch.__version__,
        "schedule": schedule(job["schedule"]["epochs"]),
        "statistics": statistics(job["draws"], job["drawSize"]),
        "single": train(job, torch.float32),
        "double": train(job, torch.float64),
    }))


main()
