import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const FILES = [
  'packages/*/src/**/*.test.ts',
  'packages/casil/corpus/**/*.test.ts',
  'test/**/*.test.ts',
  'bench/**/*.test.ts',
  'examples/**/*.test.ts',
];

/** Tests that put other modules in the place of some. */
const REPLACING = [
  'packages/bus/src/engine/redis/neighbours.test.ts',
  'packages/bus/src/engine/sqlite/thread.test.ts',
  'packages/server/src/cli/verbs/status.test.ts',
];

export default defineConfig({
  // Tests run against the sources, so that a failing line is the line one edits.
  resolve: {
    alias: {
      '@arqonbus/protocol': source('./packages/protocol/src/index.ts'),
      '@arqonbus/client/testing': source('./packages/client/src/testing/fake-server.ts'),
      '@arqonbus/client': source('./packages/client/src/index.ts'),
      '@arqonbus/casil': source('./packages/casil/src/index.ts'),
      '@arqonbus/bus': source('./packages/bus/src/index.ts'),
      '@arqonbus/mcp': source('./packages/mcp/src/index.ts'),
      '@arqonbus/server/config': source('./packages/server/src/config/load.ts'),
      '@arqonbus/server': source('./packages/server/src/server.ts'),
    },
  },
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // What a test waits for may take long on a busy machine; only a wait that would never end is a fault.
    expect: { poll: { timeout: 30_000 } },
    // Most of the time goes by in waiting for processes, so that two cores serve four files at once.
    maxWorkers: 4,
    projects: [
      // Files share what they import: reading it anew for each took a third of the time.
      { extends: true, test: { name: 'shared', include: FILES, exclude: REPLACING, isolate: false } },
      { extends: true, test: { name: 'alone', include: REPLACING } },
    ],
    // In CI, where the machine is somebody else's too, a test may fail once: the report names each that did.
    retry: process.env.CI === 'true' ? 1 : 0,
  },
});
