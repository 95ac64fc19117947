"""The ways in which PyTorch runs a training step or a prediction, on the CPU and on a GPU.

    eager      the plain way
    traced     torch.jit, frozen and optimised: prediction on the CPU
    compiled   torch.compile; on a GPU with mode max-autotune
    graphed    the eager step captured once as a CUDA graph and replayed: GPU only
"""

import time

import torch

from networks import Network, objective

CLASSES, NEUTRAL = 7, 6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def sgd(parameters):
    """The method's SGD; fused if this PyTorch supports it for the device (the fastest it offers)."""
    settings = {"lr": 0.002, "momentum": 0.9, "weight_decay": 5e-4}
    parameters = list(parameters)
    try:
        return torch.optim.SGD(parameters, fused=True, **settings)
    except (TypeError, RuntimeError):
        return torch.optim.SGD(parameters, **settings)


class Job:
    """One network with one batch of images, ready to be stepped."""

    def __init__(
        self, task, backbone, size, batch, variant="eager", device="cpu", precision="fp32"
    ):
        if variant == "traced" and (task == "train" or device != "cpu"):
            raise ValueError("traced: for prediction on the CPU only")
        if variant == "graphed" and device != "cuda":
            raise ValueError("graphed: for a GPU only")
        torch.manual_seed(0)
        # Shapes never change, so searching for cuDNN's best convolution pays off.
        torch.backends.cudnn.benchmark = True
        self.task, self.variant = task, variant
        self.device, self.precision = torch.device(device), precision
        self.mean = torch.tensor(MEAN, device=self.device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(STD, device=self.device).view(1, 3, 1, 1) * 255
        self.text = torch.randn(CLASSES, 512).to(self.device)
        self.images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
        self.labels = torch.arange(batch) % CLASSES
        if self.on_gpu():
            self.images, self.labels = self.images.pin_memory(), self.labels.pin_memory()
        network = Network(backbone, size, self.text).to(self.device)
        self.network = network.to(memory_format=torch.channels_last).train(task == "train")
        if task == "train":
            self.optimizer = sgd(self.network.parameters())
        self.compute = self.losses_of if task == "train" else self.outputs_of
        if variant == "compiled":
            mode = "max-autotune" if self.on_gpu() else "default"
            self.compute = torch.compile(self.compute, mode=mode)
        elif variant == "traced":
            with torch.no_grad():
                self.trace()
        elif variant == "graphed":
            self.capture()

    def on_gpu(self):
        return self.device.type == "cuda"

    # ------------------------------------------------------------------- what is computed

    def normalized(self, images):
        images = images.permute(0, 3, 1, 2)
        images = images.to(torch.float32, memory_format=torch.channels_last)
        return images.sub_(self.mean).div_(self.std)

    def outputs_of(self, images):
        """uint8 images on the device to logits and both representations, float32."""
        # A CUDA graph must not use casts of the weights from before its capture.
        cached = self.variant != "graphed"
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=cached
        ):
            output = self.network(self.normalized(images))
        return [value.float() for value in output]

    def losses_of(self, images, labels):
        """The four losses and the number of correctly classified samples."""
        output = self.outputs_of(images)
        losses = objective(*output, labels, self.text, NEUTRAL)
        correct = (output[0].argmax(1) == labels).sum()
        return losses[0], torch.stack([*(loss.detach() for loss in losses), correct])

    def update(self, images, labels):
        """Forward pass, backward pass, optimizer; what is read back, still on the device."""
        loss, told = self.compute(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return told

    # ------------------------------------------------------------------- a step, as ours

    def step(self):
        """From the host's images to numbers on the host."""
        if self.variant == "graphed":
            return self.replay()
        images = self.images.to(self.device, non_blocking=True)
        if self.task == "train":
            return self.update(images, self.labels.to(self.device, non_blocking=True)).tolist()
        # torch.compile supports no_grad better than inference_mode; its code is the same.
        mode = torch.no_grad if self.variant == "compiled" else torch.inference_mode
        with mode():
            return [value.cpu() for value in self.compute(images)]

    def trace(self):
        """The network frozen into a trace, in place of the plain one."""
        frozen = torch.jit.freeze(torch.jit.trace(self.network, self.normalized(self.images)))
        self.network = torch.jit.optimize_for_inference(frozen)

    # ------------------------------------------------------------------- CUDA graph

    def capture(self):
        """Warm-up on a side stream, as capturing requires, then the capture of one whole step."""
        self.static_images = self.images.to(self.device)
        self.static_labels = self.labels.to(self.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.static_step()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        if self.task == "train":
            self.optimizer.zero_grad(set_to_none=True)  # the capture makes its own gradients
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.static_result = self.static_step()

    def static_step(self):
        if self.task == "train":
            return self.update(self.static_images, self.static_labels)
        with torch.no_grad():
            return self.compute(self.static_images)

    def replay(self):
        self.static_images.copy_(self.images, non_blocking=True)
        self.static_labels.copy_(self.labels, non_blocking=True)
        self.graph.replay()
        if self.task == "train":
            return self.static_result.tolist()
        return [value.cpu() for value in self.static_result]

    # ------------------------------------------------------------------- time

    def timed(self, count):
        seconds, result = [], None
        cpu = time.process_time()
        for _ in range(count):
            self.synchronize()
            start = time.perf_counter()
            result = self.step()
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        cpu = time.process_time() - cpu
        value = result[0] if self.task == "train" else float(result[0].abs().mean())
        return {"seconds": seconds, "cpuSeconds": cpu, "value": value}

    def synchronize(self):
        if self.on_gpu():
            torch.cuda.synchronize()
