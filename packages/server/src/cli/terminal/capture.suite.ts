import { vi } from 'vitest';

/** What was written to standard output and standard error while `run` ran, as if both were a terminal. */
export async function onTerminal(
  run: () => unknown,
  { columns = 80, env = {} }: { readonly columns?: number; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<string> {
  let written = '';
  const restored: (() => void)[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    const before = { isTTY: stream.isTTY, columns: stream.columns };
    const spy = vi.spyOn(stream, 'write').mockImplementation((chunk: unknown) => {
      written += String(chunk);
      return true;
    });
    Object.assign(stream, { isTTY: true, columns });
    restored.push(() => {
      spy.mockRestore();
      Object.assign(stream, before);
    });
  }
  for (const [name, value] of Object.entries({ TERM: 'xterm', NO_COLOR: '', ...env })) vi.stubEnv(name, value);
  try {
    await run();
  } finally {
    for (const restore of restored) restore();
    vi.unstubAllEnvs();
  }
  return written;
}
