#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// A published package brings `dist`. A fresh checkout does not yet: there the first start builds it, once.
const built = new URL('../dist/cli/main.js', import.meta.url);
const checkout = fileURLToPath(new URL('../../..', import.meta.url));
const compiler = new URL('../../../node_modules/typescript/bin/tsc', import.meta.url);
if (!existsSync(built) && existsSync(compiler)) {
  const { status } = spawnSync(process.execPath, [fileURLToPath(compiler), '-b'], { cwd: checkout, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
await import(built.href);
