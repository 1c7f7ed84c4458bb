import { afterEach } from 'vitest';
import { degraded } from '../degraded.ts';
import type { Engine } from '../engine.ts';
import type { Node } from '../redis/nodes.suite.ts';
import { Recorder } from '../suite/rig.suite.ts';
import { createPostgresEngine, type PostgresEngineOptions } from './postgres.ts';

interface NodeOptions extends Partial<PostgresEngineOptions> {
  readonly url: string;
  /** `degraded` when left out. */
  readonly mode?: 'degraded' | 'strict';
}

/** Opens nodes, and closes them after the test that did. */
export function useNodes(): (options: NodeOptions) => Promise<Node> {
  let opened: Engine[] = [];
  afterEach(async () => {
    await Promise.all(opened.map((engine) => engine.close()));
    opened = [];
  });
  return async ({ mode, ...options }) => {
    const strict = createPostgresEngine({ nodeId: 'node-a', ...options });
    const engine = mode === 'strict' ? strict : degraded(strict);
    opened.push(engine);
    const seen = new Recorder();
    await engine.open(seen);
    return { engine, seen };
  };
}
