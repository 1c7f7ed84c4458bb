import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** A worker that runs in a separate process. */
export class Worker {
  readonly name: string;
  private readonly child: ChildProcess;
  /** Resolves with its exit code; rejects when it could not be started. */
  private readonly ended: Promise<number | null>;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.child = child;
    this.ended = once(child, 'exit').then(([code]) => code as number | null);
    // Whoever waits for it is told.
    this.ended.catch(() => {});
  }

  static inTypeScript(url: string, name: string, group: string, ...options: string[]): Worker {
    return Worker.start(url, name, process.execPath, ['--import', 'tsx', here('worker.ts'), name, group, ...options]);
  }

  static inPython(python: string, url: string, name: string, group: string): Worker {
    return Worker.start(url, name, python, [here('worker.py'), name, group]);
  }

  /** Rejects when the worker ends meanwhile: what is waited for would never come. */
  during<T>(waiting: Promise<T>): Promise<T> {
    const ended = this.ended.then((code) => {
      throw new Error(`${this.name} has ended with ${code}.`);
    });
    return Promise.race([waiting, ended]);
  }

  /** As a crash ends it. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** Lets it finish, by the end of its input. */
  async stop(): Promise<void> {
    this.child.stdin?.end();
    await this.ended;
  }

  private static start(url: string, name: string, program: string, args: readonly string[]): Worker {
    // It has to end with this process, however that ends: then its input is over.
    const child = spawn(program, args, {
      env: { ...process.env, ARQONBUS_WS_URL: url, PYTHONPATH: here('../../python') },
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    child.stdin.on('error', () => {
      // It has ended before its input.
    });
    return new Worker(name, child);
  }
}

/** A Python that has what the client needs; undefined where there is none. */
export function findPython(): string | undefined {
  const venv = process.env.ARQONBUS_PYTHON_VENV;
  const python = process.env.PYTHON ?? (venv === undefined ? 'python3' : `${venv}/bin/python3`);
  const code = 'import sys, websockets; sys.exit(sys.version_info < (3, 10))';
  return spawnSync(python, ['-c', code], { stdio: 'ignore' }).status === 0 ? python : undefined;
}
