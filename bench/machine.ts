import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';

/** The machine that the figures were measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
  };
}

/** Processor time of the whole machine since its start, in ticks. */
interface Ticks {
  readonly total: number;
  readonly stolen: number;
}

function ticks(): Ticks | undefined {
  try {
    const line = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? '';
    const [user, nice, system, idle, wait, irq, soft, stolen] = line.split(' ').map(Number);
    const parts = [user, nice, system, idle, wait, irq, soft, stolen].map((part) => part ?? 0);
    return { total: parts.reduce((sum, part) => sum + part, 0), stolen: stolen ?? 0 };
  } catch {
    return undefined;
  }
}

/** How quiet the machine was. */
export interface Noise {
  /** Average number of runnable processes over the minute before the run: 0 on an idle machine. */
  readonly loadBefore: number;
  /** Fraction of the processor time that the hypervisor gave to others; null if not reported. */
  readonly stolen: number | null;
}

/** Starts watching; the returned function stops it. */
export function watchNoise(): () => Noise {
  const loadBefore = loadavg()[0] ?? 0;
  const start = ticks();
  return () => {
    const end = ticks();
    const passed = start && end ? end.total - start.total : 0;
    const stolen = start && end && passed > 0 ? (end.stolen - start.stolen) / passed : null;
    return { loadBefore, stolen };
  };
}
