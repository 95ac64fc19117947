/** What a card can do at most, by its maker's data sheet. */
export interface CardLimits {
  /** bf16 operations a second of its tensor cores, float32 accumulation, without sparsity. */
  readonly operationsPerSecond: number;
  /** Bytes a second from and to its memory. */
  readonly bytesPerSecond: number;
}

const tera = 1e12;

/** By nvidia-smi's name; the first that fits. Figures of NVIDIA's data sheets, dense. */
const table: readonly (readonly [name: RegExp, teraOperations: number, teraBytes: number])[] = [
  [/H200 NVL/, 835.5, 4.8],
  [/H200/, 989.5, 4.8],
  [/H100 PCIe/, 756, 2.0],
  [/H100 NVL/, 835.5, 3.9],
  [/H100.*HBM3/, 989.5, 3.35],
  [/A100.*PCIe.*80GB|A100 80GB PCIe/i, 312, 1.935],
  [/A100.*80GB/, 312, 2.039],
  [/A100.*40GB/, 312, 1.555],
  [/L40S/, 362, 0.864],
  [/\bL4\b/, 121, 0.3],
  [/\bA10\b/, 125, 0.6],
];

/** Undefined for a card that is not in the table: no share is computed then. */
export function limitsOf(cardName: string): CardLimits | undefined {
  const row = table.find(([name]) => name.test(cardName));
  return row && { operationsPerSecond: row[1] * tera, bytesPerSecond: row[2] * tera };
}
