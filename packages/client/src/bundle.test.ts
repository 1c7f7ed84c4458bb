import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { bundle, manifest, socketFor } from './bundle.suite.ts';

/**
 * What a page pays for a client with all it can do, the way without a WebSocket included, compressed. Groups, mail,
 * receipts, requests to addresses, presence sets, leases and streams are a quarter of it; they are one class with the
 * rest, so a page cannot leave them out.
 */
const BUDGET_BYTES = 25_000;

describe('the browser build', () => {
  it('fits its budget and knows nothing of Node.js', async () => {
    const { code, modules } = await bundle(
      'import { ArqonBusClient } from CLIENT; globalThis.Client = ArqonBusClient;',
    );
    const bytes = gzipSync(code, { level: 9 }).length;
    console.info(`browser bundle: ${code.length} bytes, ${bytes} gzip (budget ${BUDGET_BYTES})`);
    expect(bytes).toBeLessThanOrEqual(BUDGET_BYTES);
    expect(bytes).toBeGreaterThan(BUDGET_BYTES / 2);
    expect(modules.filter((id) => id.includes('node_modules') || id.includes('socket-node'))).toEqual([]);
    expect(code).not.toMatch(/from\s*["']ws["']|require\(/);
  });

  it('leaves out what a program does not use', async () => {
    const { code } = await bundle('import { TimeoutError } from CLIENT; throw new TimeoutError("late");');
    expect(manifest.sideEffects).toBe(false);
    expect(gzipSync(code).length).toBeLessThan(600);
  });

  it('has the WebSocket of the platform wherever there is one, and ws only in Node.js', () => {
    expect(socketFor('browser', 'import')).toBe('./socket-web.ts');
    // Deno also answers to "node".
    expect(socketFor('deno', 'node', 'import')).toBe('./socket-web.ts');
    expect(socketFor('worker', 'import')).toBe('./socket-web.ts');
    expect(socketFor('node', 'import')).toBe('./socket-node.ts');
  });
});
