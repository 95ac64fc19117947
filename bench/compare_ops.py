"""Each convolution and linear layer of the models: ours against PyTorch, in turns, in one run.

    python3 bench/compare_ops.py BENCH_OPS [--threads 1] [--match TEXT] [--rounds 3] [--seconds 0.3]

BENCH_OPS is the program built by `cmake --build build --target bench_ops`. Run it with the Python
whose PyTorch is to be compared. PyTorch gets channels_last tensors; the gradients of the data and of
the weight are requested one by one. Figures are GFLOP/s, medians over the rounds; with one thread,
processor time is measured, so that other processes disturb less.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

os.environ.setdefault('ATEN_CPU_CAPABILITY', 'avx512')
import torch  # noqa: E402

DIRECTIONS = ('forward', 'data', 'weight')


def ours(program, threads, match, seconds):
    out = subprocess.run(
        [program, '--json', '--threads', str(threads), '--match', match, '--seconds', str(seconds)],
        check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def median_seconds(run, seconds, threads):
    clock = time.thread_time if threads == 1 else time.perf_counter
    run()
    times = []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        start = clock()
        run()
        times.append(clock() - start)
    return statistics.median(times)


def torch_convolution(layer):
    last = torch.channels_last
    x = torch.randn(layer['batch'], layer['in'], layer['size'], layer['size']).to(memory_format=last)
    weight = torch.randn(layer['out'], layer['in'], layer['kernel'], layer['kernel'])
    weight = weight.to(memory_format=last)
    stride, padding = [layer['stride']] * 2, [layer['padding']] * 2
    dy = torch.randn_like(torch.conv2d(x, weight, None, stride, padding))

    def backward(data):
        return torch.ops.aten.convolution_backward(
            dy, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, [data, not data, False])

    return {
        'forward': lambda: torch.conv2d(x, weight, None, stride, padding),
        'data': (lambda: backward(True)) if layer['in'] > 3 else None,
        'weight': lambda: backward(False),
    }


def torch_linear(layer):
    x = torch.randn(layer['batch'], layer['in'])
    weight = torch.randn(layer['out'], layer['in'])
    bias = torch.randn(layer['out'])
    dy = torch.randn(layer['batch'], layer['out'])
    return {
        'forward': lambda: torch.nn.functional.linear(x, weight, bias),
        'data': lambda: dy @ weight,
        'weight': lambda: (dy.t() @ x, dy.sum(0)),
    }


def torch_seconds(layer, seconds, threads):
    with torch.no_grad():
        runs = torch_linear(layer) if layer['linear'] else torch_convolution(layer)
        return {d: median_seconds(runs[d], seconds, threads) if runs[d] else 0 for d in DIRECTIONS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('program')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--match', default='')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=0.3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = list(dict.fromkeys(
        layer['layer'] for layer in ours(options.program, options.threads, options.match, 0)))
    print(f'PyTorch {torch.__version__}, {options.threads} threads, GFLOP/s: ours / PyTorch = ratio')
    for name in names:
        mine, theirs = [], []
        for _ in range(options.rounds):
            layer = next(found for found in ours(options.program, options.threads, name,
                                                 options.seconds) if found['layer'] == name)
            mine.append(layer)
            theirs.append(torch_seconds(layer, options.seconds, options.threads))
        cells = []
        for direction in DIRECTIONS:
            a = statistics.median(run[direction] for run in mine)
            b = statistics.median(run[direction] for run in theirs)
            giga = layer['flop'] * 1e-9
            cells.append(f'{giga / a:6.1f} / {giga / b:6.1f} = {b / a:5.2f}' if a else ' ' * 23)
        print(f'{name:34}', '   '.join(cells), flush=True)


if __name__ == '__main__':
    main()
