import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, platform, release, totalmem } from 'node:os';

export interface Cores {
  readonly server: number | undefined;
  readonly generator: number | undefined;
}

/** A CPU each for server and generator, when this process may use two and `taskset` can pin them; else none. */
export function chooseCores(): Cores {
  const allowed = allowedCpus();
  const canPin = spawnSync('taskset', ['--version']).status === 0;
  if (!canPin || allowed.length < 2) return { server: undefined, generator: undefined };
  // The first and the last: on machines with hyper-threads neighbours may be one core.
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

/** The machine in one line: enough to judge the figures by, nothing that identifies it. */
export function describeMachine(cores: Cores): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  const gib = Math.round(totalmem() / 2 ** 30);
  const pinned = cores.server === undefined ? 'not pinned' : 'server and load generator pinned to a core each';
  return `${cpus().length} × ${model}, ${gib} GiB, ${platform()} ${release().split('-')[0]}, Node ${process.versions.node}, ${pinned}`;
}

/** How many files a child of this process may open at most. */
export function fileLimit(): number {
  const answer = spawnSync('/bin/sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout?.trim();
  return answer === 'unlimited' ? Number.POSITIVE_INFINITY : Number(answer) || 0;
}

/** What the scheduler gives this process and its children before others, in words that follow the machine's; else nothing. */
export function describePriority(): string {
  let fields: string[];
  try {
    // Behind the name, which may hold spaces, the 41st of all fields is the 39th.
    fields = readFileSync('/proc/self/stat', 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
  } catch {
    return '';
  }
  return ['1', '2'].includes(fields[38] ?? '') ? ', all at real-time priority beside other work on the machine' : '';
}
