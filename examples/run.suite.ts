import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** An example that runs, as a user runs it. */
export class Running {
  /** Both streams, in the order that they came. */
  output = '';
  private readonly child: ChildProcess;
  private readonly exited: Promise<number | null>;

  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.child = spawn(process.execPath, ['--import', 'tsx', here(name), ...args], {
      // Nothing of the developer's own settings reaches it.
      env: { PATH: process.env.PATH, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
        this.child.emit('output');
      });
    }
    this.exited = once(this.child, 'close').then(([code]) => code as number | null);
  }

  /** Resolves with the match once the output has it; rejects when the example ends without. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.output);
      if (found !== null) return found;
      const ended = await Promise.race([once(this.child, 'output').then(() => false), this.exited.then(() => true)]);
      if (ended && !pattern.test(this.output)) throw new Error(`it never said ${pattern}:\n${this.output}`);
    }
  }

  type(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  /** Its exit code, with the end of its input. */
  end(): Promise<number | null> {
    this.child.stdin?.end();
    return this.exited;
  }

  /** Its exit code after Ctrl-C. */
  interrupt(): Promise<number | null> {
    this.child.kill('SIGINT');
    return this.end();
  }

  /** Freezes it (SIGSTOP), or lets it go on (SIGCONT). */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(name);
  }

  /** As a crash ends it; for tests that failed half way too. */
  kill(): void {
    if (this.child.exitCode === null) this.child.kill('SIGKILL');
  }
}
