"""The method's network in PyTorch: a ResNet or Swin Transformer, the neutral transformation, the objective.

Written from the method's description and the paper. Parameter names are those of the checkpoints
(`encoder.*`, `MLP.*`), so that a seeded state dict fits both this and countenance.
"""

import torch
from torch import nn
from torch.nn import functional as F

WIDTH = 512  # D: width of the representations and of the text embeddings


# ----------------------------------------------------------------------------- ResNet


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; torchvision's names."""

    expansion = 1

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the 3x3 has the stride, as torchvision's v1.5."""

    expansion = 4

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        width = outputs // self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + shortcut)


class ResNet(nn.Module):
    """torchvision's ResNet: (B, 3, S, S) -> (B, 512), without its `fc` where it pools to 512."""

    def __init__(self, block, depths):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for i, depth in enumerate(depths):
            outputs = 64 * 2**i * block.expansion
            blocks = [block(inputs, outputs, 1 if i == 0 else 2)]
            blocks += [block(outputs, outputs, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Identity() if inputs == WIDTH else nn.Linear(inputs, WIDTH)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


RESNETS = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}


def resnet(name):
    """torchvision's network if available, otherwise ours; an `fc` of 512 inputs is left out."""
    try:
        from torchvision import models
    except Exception:  # absent, or built for another torch
        return ResNet(*RESNETS[name])
    network = getattr(models, name)(num_classes=WIDTH)
    if network.fc.in_features == WIDTH:
        network.fc = nn.Identity()
    return network


# ----------------------------------------------------------------------------- Swin


class DropPath(nn.Module):
    """Stochastic depth per sample."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        shape = (x.shape[0],) + (1,) * (x.dim() - 1)
        return x * x.new_empty(shape).bernoulli_(keep).div_(keep)


def windows(x, size):
    """(B, H, W, C) -> (B * windows, size * size, C)."""
    b, h, w, c = x.shape
    x = x.view(b, h // size, size, w // size, size, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, c)


def unwindows(x, size, h, w):
    """The reverse of `windows`."""
    c = x.shape[-1]
    x = x.view(-1, h // size, w // size, size, size, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, h, w, c)


def relative_position_index(size):
    """(size^2, size^2) rows of the bias table: (dy + size-1) * (2 size - 1) + dx + size-1."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    y, x = y.flatten(), x.flatten()
    dy = y[:, None] - y[None, :] + size - 1
    dx = x[:, None] - x[None, :] + size - 1
    return dy * (2 * size - 1) + dx


def shift_mask(resolution, size, shift):
    """(windows, size^2, size^2): -100 between tokens that only the roll brought together."""
    cuts = torch.zeros(resolution)
    cuts[resolution - size : resolution - shift] = 1
    cuts[resolution - shift :] = 2
    region = cuts[:, None] * 3 + cuts[None, :]
    ids = windows(region[None, :, :, None], size).squeeze(-1)
    return torch.where(ids[:, :, None] == ids[:, None, :], 0.0, -100.0)


class WindowAttention(nn.Module):
    """Attention inside windows of `size` x `size` tokens with a learned relative position bias."""

    def __init__(self, width, size, heads):
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        table = torch.zeros((2 * size - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        index = relative_position_index(size)
        self.register_buffer("index", index.flatten(), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, mask):
        n, t, c = x.shape
        qkv = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        bias = self.relative_position_bias_table[self.index].view(t, t, self.heads)
        bias = bias.permute(2, 0, 1).unsqueeze(0)  # (1, heads, T, T)
        scores = (q * self.scale) @ k.transpose(-2, -1)
        if mask is None:
            scores = scores + bias
        else:  # one addition over the scores: (windows, heads, T, T)
            bias = bias + mask.unsqueeze(1)
            scores = (scores.view(-1, *bias.shape) + bias).view_as(scores)
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, c)
        return self.proj(y)


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    def __init__(self, width, resolution, heads, window, shift, drop_path):
        super().__init__()
        self.resolution, self.window, self.shift = resolution, window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, window, heads)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        mask = shift_mask(resolution, window, shift) if shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        b, t, c = x.shape
        side = self.resolution
        y = self.norm1(x).view(b, side, side, c)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = self.attn(windows(y, self.window), self.mask)
        y = unwindows(y, self.window, side, side)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + self.drop_path(y.view(b, t, c))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchMerging(nn.Module):
    """Four neighbours become one token of twice the width."""

    def __init__(self, width, resolution):
        super().__init__()
        self.resolution = resolution
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        b, _, c = x.shape
        x = x.view(b, self.resolution, self.resolution, c)
        parts = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        return self.reduction(self.norm(torch.cat(parts, -1).view(b, -1, 4 * c)))


class Stage(nn.Module):
    def __init__(self, width, resolution, heads, window, drop_paths, merge):
        super().__init__()
        self.blocks = nn.ModuleList()
        for i, rate in enumerate(drop_paths):
            # One window covers the last stage: nothing to shift there.
            shift = window // 2 if resolution > window and i % 2 == 1 else 0
            self.blocks.append(SwinBlock(width, resolution, heads, window, shift, rate))
        self.downsample = PatchMerging(width, resolution) if merge else None

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class PatchEmbed(nn.Module):
    def __init__(self, patch, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(self.proj(x).flatten(2).transpose(1, 2))


class Swin(nn.Module):
    """A Swin Transformer with the method's head: (B, 3, S, S) -> (B, 512)."""

    def __init__(self, depths, size=112, patch=2, drop_path=0.1, window=7):
        super().__init__()
        heads, width = (3, 6, 12, 24), 96
        self.patch_embed = PatchEmbed(patch, width)
        rates = torch.linspace(0, drop_path, sum(depths)).tolist()
        self.layers = nn.ModuleList()
        side = size // patch
        for i, depth in enumerate(depths):
            merge = i + 1 < len(depths)
            stage_rates, rates = rates[:depth], rates[depth:]
            self.layers.append(Stage(width, side, heads[i], window, stage_rates, merge))
            if merge:
                width, side = 2 * width, side // 2
        self.norm = nn.LayerNorm(width)
        self.feature = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, WIDTH, bias=False),
            nn.BatchNorm1d(WIDTH, eps=2e-5),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x):
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.feature(self.norm(x).mean(1))


SWINS = {"swin-t": (2, 2, 6, 2), "swin-s": (2, 2, 18, 2)}
BACKBONES = (*RESNETS, *SWINS)


# ----------------------------------------------------------------------------- the whole model


class Transformation(nn.Module):
    """f_n = W2 relu(W1 f_e + b1) + b2."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 128)
        self.fc2 = nn.Linear(128, WIDTH)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class Network(nn.Module):
    """Images to (logits, f_e, f_n). `text` (K, 512) is frozen; `scale` is exp(logit_scale)."""

    def __init__(self, backbone, size, text, scale=100.0, drop_path=0.1):
        super().__init__()
        if backbone in RESNETS:
            self.encoder = resnet(backbone)
        else:
            self.encoder = Swin(SWINS[backbone], size, drop_path=drop_path)
        self.MLP = Transformation()
        self.scale = scale
        self.register_buffer("text", text, persistent=False)

    def forward(self, images):
        expression = self.encoder(images)
        neutral = self.MLP(expression)
        logits = self.scale * unit(expression) @ unit(self.text).t()
        return logits, expression, neutral


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def objective(logits, expression, neutral, labels, text, neutral_class, contrast="pairwise"):
    """(loss, L_s, L_t, L_c), every lambda 1; L_t and L_c run over the non-neutral samples.

    The others are masked, not selected: every shape is known in advance, so that nothing waits for
    the device and a CUDA graph can hold it.
    """
    supervised = F.cross_entropy(logits, labels)
    kept = (labels != neutral_class).to(expression.dtype)
    share = kept / kept.sum().clamp(min=1)  # (B): 1 / |I| for the samples of I
    own = text[labels]
    cosine = F.cosine_similarity(expression - neutral, own - text[neutral_class], dim=-1, eps=1e-8)
    transformation = (share * (1 - cosine)).sum()
    a, e, n = unit(own), unit(expression), unit(neutral)
    if contrast == "pairwise":  # the mean over all pairs, in O(B D)
        contrast_loss = 2 * share.sum() + (share @ a) @ (share @ n - share @ e)
    else:
        contrast_loss = (share * ((a * (n - e)).sum(1) + 2)).sum()
    return supervised + transformation + contrast_loss, supervised, transformation, contrast_loss
