import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, platform, release, totalmem } from 'node:os';

export interface Cores {
  readonly server: number | undefined;
  readonly generator: number | undefined;
}

/** A separate CPU for server and generator, if this process may use two and `taskset` can pin them; otherwise none. */
export function chooseCores(): Cores {
  const allowed = allowedCpus();
  const canPin = spawnSync('taskset', ['--version']).status === 0;
  if (!canPin || allowed.length < 2) return { server: undefined, generator: undefined };
  // The first and the last: with hyper-threading, neighbours may share a core.
  return { server: allowed[0], generator: allowed[allowed.length - 1] };
}

function allowedCpus(): number[] {
  let status: string;
  try {
    status = readFileSync('/proc/self/status', 'utf8');
  } catch {
    return [];
  }
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '';
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
}

/** The machine in one line: enough to interpret the figures, without identifying it. */
export function describeMachine(cores: Cores): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  const gib = Math.round(totalmem() / 2 ** 30);
  const pinned = cores.server === undefined ? 'not pinned' : 'server and load generator pinned to a core each';
  return `${cpus().length} × ${model}, ${gib} GiB, ${platform()} ${release().split('-')[0]}, Node ${process.versions.node}, ${pinned}`;
}

/** Maximum open files of a child process. */
export function fileLimit(): number {
  const answer = spawnSync('/bin/sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout?.trim();
  return answer === 'unlimited' ? Number.POSITIVE_INFINITY : Number(answer) || 0;
}

/**
 * The real-time priority of this process and its children, as a suffix to the machine's description; otherwise empty.
 */
export function describePriority(): string {
  let fields: string[];
  try {
    // After the name, which may contain spaces, field 41 is at index 38.
    fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return '';
  }
  return ['1', '2'].includes(fields[38] ?? '') ? ', all at real-time priority beside other work on the machine' : '';
}
