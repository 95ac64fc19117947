/**
 * Networks of other libraries, saved by them and loaded here, give the same features: names, layouts
 * and all orders are right. Each needs a Python with its library, and is skipped without one.
 */
import assert from 'node:assert/strict';
import { type Backbone, type StateDict, type TensorData } from '../../lib/index.js';
import { writeWeights } from '../../lib/weights/index.js';
import { Random } from '../../lib/philox.js';
import { makeModel } from '../api-support.js';
import { temporaryDirectory } from '../data/data-support.js';
import { findPython, runPython } from './support.js';

interface Network {
  readonly name: string;
  readonly modules: readonly string[];
  readonly backbone: Backbone;
  readonly inputSize: number;
  /** Python: makes `network`, a function `features(images)`, and saves into the folder `out`. */
  readonly script: string;
  /** The files the script wrote. */
  readonly file: string;
  readonly source: RegExp;
}

const networks: readonly Network[] = [
  {
    name: "torchvision's resnet18 in a training checkpoint",
    modules: ['torch', 'torchvision'],
    backbone: 'resnet18',
    inputSize: 64,
    script: `
import torchvision
network = torchvision.models.resnet18()
shake(network)
state = {'module.' + name: value for name, value in network.state_dict().items()}
torch.save({'epoch': 7, 'arch': 'resnet18', 'state_dict': state}, out + '/w.pth.tar')
network.fc = torch.nn.Identity()
features = network`,
    file: 'w.pth.tar',
    source: /torchvision/,
  },
  {
    name: "torchvision's resnet34",
    modules: ['torch', 'torchvision'],
    backbone: 'resnet34',
    inputSize: 64,
    script: `
import torchvision
network = torchvision.models.resnet34()
shake(network)
torch.save(network.state_dict(), out + '/w.pth')
network.fc = torch.nn.Identity()
features = network`,
    file: 'w.pth',
    source: /torchvision/,
  },
  {
    name: "torchvision's resnet50 of 512 classes",
    modules: ['torch', 'torchvision'],
    backbone: 'resnet50',
    inputSize: 64,
    script: `
import torchvision
network = torchvision.models.resnet50(num_classes=512)
shake(network)
torch.save(network.state_dict(), out + '/w.pth')
features = network`,
    file: 'w.pth',
    source: /torchvision/,
  },
  {
    name: "torchvision's swin_t in the old form of file",
    modules: ['torch', 'torchvision'],
    backbone: 'swin-t',
    inputSize: 224,
    script: `
import torchvision
network = torchvision.models.swin_t()
shake(network)
torch.save(network.state_dict(), out + '/w.pth', _use_new_zipfile_serialization=False)
network.head = torch.nn.Identity()
features = network`,
    file: 'w.pth',
    source: /torchvision/,
  },
  {
    name: "torchvision's swin_s",
    modules: ['torch', 'torchvision'],
    backbone: 'swin-s',
    inputSize: 224,
    script: `
import torchvision
network = torchvision.models.swin_s()
shake(network)
torch.save(network.state_dict(), out + '/w.pth')
network.head = torch.nn.Identity()
features = network`,
    file: 'w.pth',
    source: /torchvision/,
  },
  {
    name: "timm's Swin-T in half precision",
    modules: ['torch', 'timm'],
    backbone: 'swin-t',
    inputSize: 224,
    script: `
import timm
network = timm.create_model('swin_tiny_patch4_window7_224', num_classes=0)
shake(network)
network.half().float()
torch.save({'model': {name: value.half() for name, value in network.state_dict().items()}}, out + '/w.pth')
features = network`,
    file: 'w.pth',
    source: /timm/,
  },
  {
    name: "Hugging Face's Swin-T in shards",
    modules: ['torch', 'transformers'],
    backbone: 'swin-t',
    inputSize: 224,
    script: `
from transformers import SwinConfig, SwinModel
network = SwinModel(SwinConfig())
shake(network)
network.save_pretrained(out, max_shard_size='40MB')
features = lambda images: network(images).pooler_output`,
    file: 'model.safetensors.index.json',
    source: /Hugging Face/,
  },
  {
    name: "Hugging Face's ResNet-18",
    modules: ['torch', 'transformers'],
    backbone: 'resnet18',
    inputSize: 64,
    script: `
from transformers import ResNetConfig, ResNetModel
network = ResNetModel(ResNetConfig(embedding_size=64, hidden_sizes=[64, 128, 256, 512],
                                   depths=[2, 2, 2, 2], layer_type='basic'))
shake(network)
network.save_pretrained(out)
features = lambda images: network(images).pooler_output.flatten(1)`,
    file: 'model.safetensors',
    source: /Hugging Face/,
  },
];

/** Weights and running statistics with which swapped tensors cannot go unnoticed. */
const prelude = `
import json, sys, torch
torch.manual_seed(5)
out = sys.argv[1]
def shake(network):
    network.eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            if name.endswith('running_var'):
                value.uniform_(0.5, 1.5)
            elif value.dim() <= 1:
                value.add_(torch.randn_like(value) * 0.1)
            elif 'relative_position_bias_table' in name:
                value.normal_(0, 1)
`;

const epilogue = `
pictures, head = (torch.load(out + '/' + name + '.pth') for name in ('pictures', 'head'))
with torch.no_grad():
    x = features(pictures['pictures'])
    if head:
        x = x @ head['0.weight'].t()
        for i in (1, 3):
            norm = [head[f'{i}.{name}'] for name in ('running_mean', 'running_var', 'weight', 'bias')]
            x = torch.nn.functional.batch_norm(x, *norm, eps=2e-5)
            if i == 1:
                x = x @ head['2.weight'].t()
print(json.dumps(x.flatten().tolist()))
`;

describe('networks of other libraries', function () {
  this.timeout(400_000);
  const directory = temporaryDirectory();

  for (const { name, modules, backbone, inputSize, script, file, source } of networks) {
    it(`${name} has the same features here`, async function () {
      const python = findPython(...modules);
      if (!('path' in python)) {
        console.log(`      skipped: ${python.missing}`);
        return this.skip();
      }
      await using model = await makeModel({ backbone, inputSize });
      const pictures = noise([2, 3, inputSize, inputSize]);
      await writeWeights(directory.path('pictures.pth'), new Map([['pictures', pictures]]));
      await writeWeights(directory.path('head.pth'), headOf(model.stateDict()));
      const printed = runPython(python.path, prelude + script + epilogue, directory.path('.'));
      const expected = JSON.parse(printed.trim().split('\n').at(-1)!) as number[];

      const report = await model.initialize(directory.path(file));
      assert.match(report.source, source);
      assert.deepEqual(report.unexpected, []);
      assert.ok(report.missing.every((missing) => /^(MLP|encoder\.feature)\./.test(missing)));
      const images = { data: pictures.data, layout: 'NCHW' } as const;
      const { expression } = await model.forward({ images });
      const largest = Math.max(...expected.map(Math.abs));
      const difference = Math.max(...expected.map((x, i) => Math.abs(x - expression.data[i]!)));
      // Both compute in float32; 1e-4 of the largest feature is several hundred roundings.
      assert.ok(difference <= 1e-4 * largest, `${difference} of ${largest}`);
    });
  }
});

/** The head after the pooled tokens of our Swin-T, which the others lack. */
function headOf(state: StateDict): StateDict {
  const head: StateDict = new Map();
  for (const [name, tensor] of state) {
    const inner = /^encoder\.feature\.(.*)/.exec(name)?.[1];
    if (inner) head.set(inner, tensor);
  }
  return head;
}

function noise(shape: number[]): TensorData {
  const random = new Random(3, 0);
  const length = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Float32Array.from({ length }, () => random.below(4001) / 1000 - 2) };
}
