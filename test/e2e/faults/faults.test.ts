import { describe, expect, it } from 'vitest';
import { hasPostgres } from '../../fixtures/private-postgres.ts';
import { hasRedis } from '../../fixtures/private-redis.ts';
import type { Engine, Mode } from './arena.ts';
import { storm } from './storm.ts';

/** Enough to break everything several times in CI, and a few times elsewhere; `npm run soak` takes as long as one likes. */
const SECONDS = process.env.CI === 'true' ? 20 : 14;
const SEED = 20_260;

/** Storms one after the other, with the time shared out among them. */
async function survive(...storms: readonly (readonly [engine: Engine, mode: Mode])[]): Promise<void> {
  for (const [turn, [engine, mode]] of storms.entries()) {
    const seed = SEED + turn;
    const { faults, acked, received, nodesKilled, linesCut } = await storm({
      engine,
      mode,
      seconds: SECONDS / storms.length,
      seed,
    });
    expect(faults, `npm run soak -- --engine ${engine} --mode ${mode} --seed ${seed}`).toEqual([]);
    // Nothing was proved unless something was broken, and something came through.
    expect(Math.min(acked, received, nodesKilled, linesCut)).toBeGreaterThan(0);
  }
}

// At once: a storm mostly waits for what it broke to come back.
describe.concurrent('servers, storage and lines that break at random moments', () => {
  const limit = { timeout: SECONDS * 1000 + 180_000 };

  it('SQLite, one process and two workers: loses no acked message, repeats none, and keeps every order', limit, () =>
    survive(['sqlite', 'strict'], ['local', 'degraded']),
  );

  it.skipIf(!hasRedis())('Redis, two nodes: loses no acked message, repeats none, and keeps every order', limit, () =>
    survive(['redis', 'degraded'], ['redis', 'strict']),
  );
  it.skipIf(!hasPostgres())(
    'PostgreSQL, two nodes: loses no acked message, repeats none, and keeps every order',
    limit,
    () => survive(['postgres', 'degraded'], ['postgres', 'strict']),
  );
});
