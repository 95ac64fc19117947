"""The kernels of bench/native/bench_kernels.cpp in PyTorch, under the same names.

    LD_PRELOAD=libtcmalloc_minimal.so.4 ATEN_CPU_CAPABILITY=avx512 \\
        python3 bench/pytorch/kernels.py [MATCH [SECONDS]]

One thread, median of the processor time. With glibc's allocator PyTorch maps and clears fresh pages
for every large output, which takes longer than most of these kernels: preload tcmalloc.
"""

import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
MATCH = sys.argv[1] if len(sys.argv) > 1 else ''
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 0.3


def bench(name, elements, run):
    if MATCH not in name:
        return
    run()
    times = []
    begin = time.thread_time()
    while len(times) < 5 or time.thread_time() - begin < SECONDS:
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    median = sorted(times)[len(times) // 2]
    print(f'{name:32} {median * 1e3:9.3f} ms {median / elements * 1e9:8.3f} ns/element', flush=True)


def both(name, elements, forward, inputs):
    kind, _, rest = name.partition(' ')
    rest = rest and ' ' + rest
    bench(f'{kind} fwd{rest}', elements, forward)
    y = forward()
    dy = torch.randn_like(y)
    bench(f'{kind} bwd{rest}', elements,
          lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True))


def images(channels, side):
    x = torch.randn(64, channels, side, side).contiguous(memory_format=torch.channels_last)
    return x.requires_grad_()


def resnet_kernels(side, channels):
    at = f'{side}x{channels}'
    x, residual = images(channels, side), images(channels, side)
    norm = torch.nn.BatchNorm2d(channels).train()
    n = x.numel()
    inputs = [x, *norm.parameters()]
    both(f'bn {at}', n, lambda: norm(x), inputs)
    both(f'bn_relu {at}', n, lambda: F.relu(norm(x), inplace=True), inputs)
    both(f'bn_add_relu {at}', n, lambda: F.relu(norm(x) + residual, inplace=True),
         [*inputs, residual])
    both(f'relu {at}', n, lambda: F.relu(x), [x])
    if side == 56:
        both('max_pool', n, lambda: F.max_pool2d(x, 3, 2, 1), [x])
    if side == 4:
        both('gap', n, lambda: x.mean((2, 3)), [x])


def relative_positions():
    """Swin's relative position index of a 7 x 7 window, flat."""
    cells = torch.stack(torch.meshgrid(torch.arange(7), torch.arange(7), indexing='ij')).flatten(1)
    offsets = cells[:, :, None] - cells[:, None, :] + 6
    return (offsets[0] * 13 + offsets[1]).view(-1)


def shift_mask(side):
    region = torch.zeros(side, side)
    slices = (slice(0, -7), slice(-7, -3), slice(-3, None))
    for i, rows in enumerate(slices):
        for j, columns in enumerate(slices):
            region[rows, columns] = 3 * i + j
    windows = region.view(side // 7, 7, side // 7, 7).permute(0, 2, 1, 3).reshape(-1, 49)
    return torch.where(windows[:, None] == windows[:, :, None], 0.0, -100.0)


def attention(qkv, table, side, channels, heads, shift, index, mask):
    x = torch.roll(qkv, (-shift, -shift), (1, 2)) if shift else qkv
    across = side // 7
    x = x.view(64, across, 7, across, 7, 3 * channels).permute(0, 1, 3, 2, 4, 5)
    q, k, v = x.reshape(-1, 49, 3, heads, 32).permute(2, 0, 3, 1, 4)
    scores = (q * 32 ** -0.5) @ k.transpose(-2, -1)
    scores = scores + table[index].view(49, 49, heads).permute(2, 0, 1)
    if shift:
        scores = scores.view(64, -1, heads, 49, 49) + mask[:, None]
        scores = scores.view(-1, heads, 49, 49)
    y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(64, across, across, 7, 7, channels)
    y = y.permute(0, 1, 3, 2, 4, 5).reshape(64, side, side, channels)
    return torch.roll(y, (shift, shift), (1, 2)) if shift else y


def merge(x, side, channels):
    x = x.view(64, side, side, channels)
    quarters = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    return torch.cat(quarters, -1)


def swin_kernels(side, channels, heads):
    at = f'{side}x{channels}'
    x = torch.randn(64, side * side, channels).requires_grad_()
    other = torch.randn(64, side * side, channels).requires_grad_()
    scale = torch.rand(64, 1, 1)
    norm = torch.nn.LayerNorm(channels)
    n = x.numel()
    both(f'ln {at}', n, lambda: norm(x), [x, *norm.parameters()])
    both(f'add {at}', n, lambda: x + scale * other, [x, other])
    if side > 7:
        both(f'merge {at}', n, lambda: merge(x, side, channels), [x])
    qkv = torch.randn(64, side, side, 3 * channels).requires_grad_()
    table = torch.zeros(169, heads, requires_grad=True)
    index = relative_positions()
    for shift in (0, 3) if side > 7 else (0,):
        mask = shift_mask(side) if shift else None
        both(f'attention {at} shift {shift}', n,
             lambda: attention(qkv, table, side, channels, heads, shift, index, mask),
             [qkv, table])
    del qkv
    hidden = torch.randn(64, side * side, 4 * channels).requires_grad_()
    both(f'gelu {at}x4', 4 * n, lambda: F.gelu(hidden), [hidden])


def optimizer_kernels():
    n = 28633210  # parameters of Swin-T with its transformation
    w = torch.randn(n).requires_grad_()
    w.grad = torch.randn(n)
    bench('sgd 28.6M', n, torch.optim.SGD([w], 1e-4, 0.9, weight_decay=5e-4).step)
    bench('adamw 28.6M', n, torch.optim.AdamW([w], 1e-5).step)
    average, fixed = torch.randn(n), w.detach()
    bench('ema 28.6M', n, lambda: average.lerp_(fixed, 0.01))
    bench('clip 28.6M', n, lambda: torch.nn.utils.clip_grad_norm_([w], 1e9))


print('PyTorch', torch.__version__)
for arguments in ((56, 64), (28, 64), (14, 128), (7, 256), (4, 512)):
    resnet_kernels(*arguments)
for arguments in ((56, 96, 3), (28, 192, 6), (14, 384, 12), (7, 768, 24)):
    swin_kernels(*arguments)
optimizer_kernels()
