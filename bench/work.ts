/** What an operation costs at least. */
export interface Work {
  /** Floating-point operations of matrix products, a multiplication and an addition being two. */
  readonly flops: number;
  /** Bytes from and to the device's memory, where each operation reads and writes a tensor once. */
  readonly bytes: number;
}

/** One operation of a network: its forward pass, its backward pass or its update of weights. */
export interface Operation extends Work {
  readonly name: string;
  readonly pass: 'forward' | 'backward' | 'update';
}

export interface WorkOptions {
  readonly batch: number;
  readonly task: 'train' | 'infer';
  readonly precision: 'fp32' | 'bf16';
}

/** An activation of one sample. */
export interface Grid {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

export interface ConvolutionOptions {
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  readonly bias?: boolean;
  /** Its input is the image, which has no gradient. */
  readonly first?: boolean;
}

const floatBytes = 4;

/**
 * Counts the operations of a network as the static graph runs them: in evaluation mode batch norm,
 * residual and ReLU belong to the convolution, in training they are one operation behind it.
 * Weights, their gradients and the optimizer's state are float32; in bfloat16 a product reads a
 * 16-bit copy of its weight, which the optimizer writes.
 */
export class WorkCounter {
  readonly operations: Operation[] = [];
  /** Numbers of the parameters so far. */
  parameters = 0;
  /** Of them those of matrices. */
  private matrixParameters = 0;
  private readonly training: boolean;
  private readonly activationBytes: number;

  constructor(private readonly options: WorkOptions) {
    this.training = options.task === 'train';
    this.activationBytes = options.precision === 'bf16' ? 2 : 4;
  }

  /** A convolution (or linear layer on a grid) without what follows it. */
  convolution(name: string, x: Grid, options: ConvolutionOptions): Grid {
    const y = this.convolutionShape(x, options);
    this.product(name, x, y, options, 0);
    return y;
  }

  /** A convolution, batch norm, maybe a residual added, ReLU. */
  convolutionNorm(name: string, x: Grid, options: ConvolutionOptions, residual = false): Grid {
    const y = this.convolutionShape(x, options);
    this.product(name, x, y, options, residual && !this.training ? this.bytesOf(y) : 0);
    this.parameters += 2 * y.channels;
    if (this.training) {
      const size = this.bytesOf(y);
      const extra = residual ? size : 0;
      this.add(`${name}.norm`, 'forward', 0, 2 * size + extra);
      // dy, x and, for the ReLU, y are read; dx and the residual's gradient written.
      this.add(`${name}.norm`, 'backward', 0, 4 * size + extra);
    }
    return y;
  }

  linear(name: string, x: Grid, out: number, bias = true): Grid {
    return this.convolution(name, x, { out, kernel: 1, stride: 1, padding: 0, bias });
  }

  /** Batch or layer norm on its own; in evaluation mode too it reads x and writes y. */
  norm(name: string, x: Grid): Grid {
    this.parameters += 2 * x.channels;
    return this.elementwise(name, x, 2, 3);
  }

  /** An operation that passes over `forward` and `backward` tensors of x's shape. */
  elementwise(name: string, x: Grid, forward: number, backward: number): Grid {
    const size = this.bytesOf(x);
    this.add(name, 'forward', 0, forward * size);
    this.add(name, 'backward', 0, backward * size);
    return x;
  }

  /** The gradient of a value with two consumers: the second one adds to what the first one left. */
  shared(name: string, x: Grid): void {
    this.add(name, 'backward', 0, this.bytesOf(x));
  }

  /** Max pooling, which keeps a byte an output for its backward pass. */
  maxPool(name: string, x: Grid, kernel: number, stride: number, padding: number): Grid {
    const y = this.convolutionShape(x, { out: x.channels, kernel, stride, padding });
    const kept = this.training ? this.elementsOf(y) : 0;
    const bytes = this.bytesOf(x) + this.bytesOf(y) + kept;
    this.add(name, 'forward', 0, bytes);
    this.add(name, 'backward', 0, bytes);
    return y;
  }

  globalAveragePool(name: string, x: Grid): Grid {
    const y = { height: 1, width: 1, channels: x.channels };
    this.add(name, 'forward', 0, this.bytesOf(x) + this.bytesOf(y));
    this.add(name, 'backward', 0, this.bytesOf(x) + this.bytesOf(y));
    return y;
  }

  /**
   * Window attention, fused. Forward two products of (tokens, depth) and (depth, tokens) a window
   * and head; backward five: the scores again, dP, dQ, dK and dV.
   */
  windowAttention(name: string, x: Grid, heads: number, window: number): Grid {
    const tokens = window * window;
    const product = 2 * this.elementsOf(x) * tokens;
    const size = this.bytesOf(x);
    const logSumExp = this.options.batch * x.height * x.width * heads * floatBytes;
    this.parameters += (2 * window - 1) ** 2 * heads;
    this.add(name, 'forward', 2 * product, 4 * size + (this.training ? logSumExp : 0));
    this.add(name, 'backward', 5 * product, 7 * size + logSumExp);
    return x;
  }

  /** Four neighbours become one token of four times the channels. */
  patchMerge(name: string, x: Grid): Grid {
    this.elementwise(name, x, 2, 2);
    return { height: x.height / 2, width: x.width / 2, channels: 4 * x.channels };
  }

  /** The step of SGD: weights, velocities and gradients are read, the first two written. */
  update(): void {
    const copies = this.options.precision === 'bf16' ? 2 * this.matrixParameters : 0;
    this.add('sgd', 'update', 0, 5 * floatBytes * this.parameters + copies);
  }

  private product(
    name: string,
    x: Grid,
    y: Grid,
    { kernel, bias = false, first = false }: ConvolutionOptions,
    residualBytes: number,
  ): void {
    const weights = y.channels * kernel ** 2 * x.channels;
    const flops = 2 * this.options.batch * y.height * y.width * weights;
    const [xBytes, yBytes] = [this.bytesOf(x), this.bytesOf(y)];
    const weightBytes = weights * this.activationBytes;
    this.parameters += weights + (bias ? y.channels : 0);
    this.matrixParameters += weights;
    this.add(name, 'forward', flops, xBytes + weightBytes + yBytes + residualBytes);
    if (!first) this.add(`${name}.dx`, 'backward', flops, yBytes + weightBytes + xBytes);
    this.add(`${name}.dweight`, 'backward', flops, xBytes + yBytes + weights * floatBytes);
  }

  private add(name: string, pass: Operation['pass'], flops: number, bytes: number): void {
    if (pass !== 'forward' && !this.training) return;
    this.operations.push({ name, pass, flops, bytes });
  }

  private convolutionShape(
    x: Grid,
    {
      out,
      kernel,
      stride,
      padding,
    }: Pick<ConvolutionOptions, 'out' | 'kernel' | 'stride' | 'padding'>,
  ): Grid {
    const side = (length: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
    return { height: side(x.height), width: side(x.width), channels: out };
  }

  private elementsOf({ height, width, channels }: Grid): number {
    return this.options.batch * height * width * channels;
  }

  private bytesOf(x: Grid): number {
    return this.elementsOf(x) * this.activationBytes;
  }
}
