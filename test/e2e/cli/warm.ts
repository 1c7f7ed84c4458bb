import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./warm-arqon.mjs', import.meta.url));
/** Processes that stay for the next run; more are started when more runs go on at once. */
const MAX_IDLE = 2;

export interface Task {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Of the terminal that it writes to; it writes to none when left out. */
  readonly columns?: number;
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const idle: WarmArqon[] = [];

/** A run of the program in a process that has loaded it before. */
export interface WarmRun {
  readonly ended: Promise<Outcome>;
  /** Breaks it off. */
  kill(): void;
}

/**
 * Runs the program to its end without paying for its start: for tests of what it does, not of how its process starts,
 * reads its input or ends by a signal. It ends when a process of its own would.
 */
export function runWarm(bin: string, task: Task): WarmRun {
  const host = idle.pop() ?? new WarmArqon(bin);
  const ended = host.run(task).then((outcome) => {
    if (host.isFit && idle.length < MAX_IDLE) idle.push(host);
    else host.kill();
    return outcome;
  });
  return { ended, kill: () => host.kill() };
}

class WarmArqon {
  /** Printed on both streams after each run: what comes before it is of that run. */
  private readonly mark = `${randomUUID()}\n`;
  private readonly child: ChildProcess;
  private readonly printed = { stdout: '', stderr: '' };
  private readonly closed: Promise<{ code: number | null; isSpent: boolean }>;
  private isSpent = false;

  constructor(bin: string) {
    this.child = spawn(process.execPath, [PROGRAM, bin, this.mark], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    for (const name of ['stdout', 'stderr'] as const) {
      this.child[name]?.setEncoding('utf8').on('data', (text: string) => {
        this.printed[name] += text;
        this.child.emit('printed');
      });
    }
    this.closed = once(this.child, 'close').then(([code]) => {
      this.isSpent = true;
      return { code: code as number | null, isSpent: true };
    });
  }

  get isFit(): boolean {
    return !this.isSpent;
  }

  async run(task: Task): Promise<Outcome> {
    const { child, closed } = this;
    const told = once(child, 'message').then(([message]) => message as { code: number; isSpent: boolean });
    child.send(task, () => {
      // That it has ended meanwhile is told by its end.
    });
    const { code, isSpent } = await Promise.race([told, closed]);
    if (isSpent) this.isSpent = true;
    let isClosed = false;
    void closed.then(() => {
      isClosed = true;
    });
    while (!isClosed && !this.isMarked()) await Promise.race([once(child, 'printed'), closed]);
    return { code, stdout: this.taken('stdout'), stderr: this.taken('stderr') };
  }

  kill(): void {
    this.isSpent = true;
    this.child.kill('SIGKILL');
  }

  private isMarked(): boolean {
    return this.printed.stdout.endsWith(this.mark) && this.printed.stderr.endsWith(this.mark);
  }

  private taken(name: 'stdout' | 'stderr'): string {
    const text = this.printed[name];
    this.printed[name] = '';
    return text.endsWith(this.mark) ? text.slice(0, -this.mark.length) : text;
  }
}

process.on('exit', () => {
  for (const host of idle) host.kill();
});
