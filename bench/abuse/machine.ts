import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const MIB = 1_048_576;

/** Resident memory of a process in MiB: its peak if /proc reports it, else the current value from `ps`. */
export function residentMib(pid: number): number {
  const status = textOf(`/proc/${pid}/status`);
  if (status !== undefined) {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    if (kib !== undefined) return (Number(kib) * 1024) / MIB;
  }
  return (Number(execFileSync('ps', ['-o', 'rss=', '-p', `${pid}`], { encoding: 'utf8' })) * 1024) / MIB;
}

/** How long the threads of a process were runnable but waiting for a CPU, according to the kernel. */
export class ProcessorWaits {
  private readonly main: string;
  private readonly others: readonly string[];

  /** @param passing the threads that a message passes: only the main thread, or also that of the storage */
  constructor(pid: number, passing: 'main' | 'storage') {
    const tasks = `/proc/${pid}/task`;
    this.main = `${tasks}/${pid}/schedstat`;
    this.others = passing === 'main' ? [] : threadsBeside(pid, tasks).map((name) => `${tasks}/${name}/schedstat`);
  }

  /** Whether the kernel reports it. */
  get areKnown(): boolean {
    return textOf(this.main) !== undefined;
  }

  /** Milliseconds of each thread since it started, the main thread first. */
  now(): readonly number[] {
    return [this.main, ...this.others].map((path) => Number(textOf(path)?.split(' ')[1] ?? 0) / 1e6);
  }

  /**
   * Milliseconds that a message waited between two readings: those of the main thread, plus the longest of the other
   * threads, because the storage thread cannot be identified.
   */
  static between([main = 0, ...others]: readonly number[], [mainNow = 0, ...othersNow]: readonly number[]): number {
    const longest = Math.max(0, ...othersNow.map((now, at) => now - (others[at] ?? now)));
    return mainNow - main + longest;
  }
}

function threadsBeside(pid: number, directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name !== `${pid}`);
  } catch {
    return [];
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
