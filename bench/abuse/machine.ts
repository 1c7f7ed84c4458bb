import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const MIB = 1_048_576;

/** Resident memory of a process in MiB: the most it ever had where /proc tells that, else what `ps` says now. */
export function residentMib(pid: number): number {
  const status = textOf(`/proc/${pid}/status`);
  if (status !== undefined) {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(status) ?? /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    if (kib !== undefined) return (Number(kib) * 1024) / MIB;
  }
  return (Number(execFileSync('ps', ['-o', 'rss=', '-p', `${pid}`], { encoding: 'utf8' })) * 1024) / MIB;
}

/**
 * Milliseconds that the main thread of a process was ready to run and waited for a processor, since it started.
 * Undefined where the kernel does not tell.
 */
export function waitedMs(pid: number): number | undefined {
  const text = textOf(`/proc/${pid}/task/${pid}/schedstat`);
  return text === undefined ? undefined : Number(text.split(' ')[1]) / 1e6;
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
