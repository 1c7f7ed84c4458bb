import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { BusError, type CasilSettings, type JsonObject } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { type Casil, casil, type Inspection } from './casil.ts';
import { compileInThread } from './compile-thread.ts';
import { EVERY_TENANT, TENANT_LIMITS } from './policies.ts';
import { buildPatterns } from './policy.ts';

const SENDER = { id: 'arq_client_ada' };
const LIMITED = { limited: true };

function message(tenant: string, payload: JsonObject = { password: 'hunter2' }): Inspection {
  return { type: 'event', id: 'arq_1', tenant, room: 'ops', channel: 'log', payload };
}

function outcome(guard: Casil, tenant: string, payload?: JsonObject): string {
  try {
    guard.inspect(message(tenant, payload), SENDER);
    return 'passed';
  } catch (error) {
    return (error as BusError).code;
  }
}

async function refusal(change: Promise<unknown>): Promise<BusError> {
  try {
    await change;
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error('It was not refused.');
}

const BLOCKING: Partial<CasilSettings> = { mode: 'enforce', block_on_probable_secret: true };
const BLOCKED = 'CASIL_POLICY_BLOCKED_SECRET';
/** Takes more than half a second to compile; in the end it is accepted. */
const SLOW = Array.from({ length: 24 }, (_, i) => `(?i)${'\\pL'.repeat(120 + i)}`);

describe("a tenant's policy", () => {
  it('changes for the tenant alone', async () => {
    const guard = casil(BLOCKING);
    await guard.reload('red', { enabled: false });
    expect([outcome(guard, 'red'), outcome(guard, 'blue')]).toEqual(['passed', BLOCKED]);
    await guard.reload('red', { enabled: true, max_payload_bytes: 1 });
    expect([outcome(guard, 'red', {}), outcome(guard, 'blue', {})]).toEqual(['CASIL_POLICY_OVERSIZE', 'passed']);
    expect(guard.snapshot('red', true)).toMatchObject({ inherited: false, max_payload_bytes: 1, mode: 'enforce' });
    expect(guard.snapshot('blue', true)).toMatchObject({ inherited: true, max_payload_bytes: 262_144 });
  });

  it('stays when the default of the others changes, until it is reset', async () => {
    const guard = casil(BLOCKING);
    await guard.reload('red', { block_on_probable_secret: false });
    await guard.reload(EVERY_TENANT, { enabled: false });
    expect([guard.enabledFor('red'), guard.enabledFor('blue')]).toEqual([true, false]);
    const snapshot = await guard.reset('red');
    expect(snapshot).toMatchObject({ enabled: false, inherited: true });
    expect(guard.enabledFor('red')).toBe(false);
  });

  it('can be the only one that is on', async () => {
    const guard = casil({ ...BLOCKING, enabled: false });
    expect(guard.enabledFor('red')).toBe(false);
    await guard.reload('red', { enabled: true });
    expect([outcome(guard, 'red'), outcome(guard, 'blue')]).toEqual([BLOCKED, 'passed']);
    expect(guard.enabledFor('blue')).toBe(false);
  });

  it('keeps what is not given, and grows in revision', async () => {
    let now = Date.UTC(2030, 0, 1);
    const guard = casil(BLOCKING, { now: () => now });
    now += 1_000;
    const first = await guard.reload('red', { mode: 'monitor', redaction_patterns: ['x+'] });
    expect(first).toMatchObject({
      mode: 'monitor',
      block_on_probable_secret: true,
      redaction_patterns: ['x+'],
      revision: 2,
      loaded_at: '2030-01-01T00:00:01.000Z',
    });
    const second = await guard.reload('red', { mode: 'enforce' });
    expect(second).toMatchObject({ mode: 'enforce', redaction_patterns: ['x+'], revision: 3 });
    expect(outcome(guard, 'red', { text: 'xx' })).toBe(BLOCKED);
  });

  it('changes in the order asked for, losing nothing', async () => {
    const guard = casil(BLOCKING);
    await Promise.all([
      guard.reload('red', { redaction_patterns: SLOW.slice(0, 4) }),
      guard.reload('red', { mode: 'monitor' }),
      guard.reload(EVERY_TENANT, { max_payload_bytes: 99 }),
    ]);
    expect(guard.snapshot('red', true)).toMatchObject({ mode: 'monitor', redaction_patterns: SLOW.slice(0, 4) });
    expect(guard.snapshot('blue', true)).toMatchObject({ mode: 'enforce', max_payload_bytes: 99 });
  });
});

describe('a faulty change', () => {
  it('is refused with every fault, and changes nothing', async () => {
    const guard = casil({ ...BLOCKING, redaction_patterns: ['a'] });
    const before = guard.snapshot('red', true);
    const error = await refusal(
      guard.reload('red', {
        mode: 'watch' as 'monitor',
        max_inspect_bytes: -1,
        scope_include: ['has space'],
        redaction_patterns: ['ok', '(', 'a*'],
      }),
    );
    expect(error.code).toBe('VALIDATION_ERROR');
    const faults = error.details.faults as { field: string; problem: string }[];
    expect(faults.map(({ field }) => field)).toEqual([
      'mode',
      'scope_include',
      'max_inspect_bytes',
      'redaction_patterns',
      'redaction_patterns',
    ]);
    for (const { problem } of faults) expect(error.message).toContain(problem);
    expect(guard.snapshot('red', true)).toEqual(before);
    expect(outcome(guard, 'red')).toBe(BLOCKED);
  });

  it('is one that does not go with what is in force', async () => {
    const guard = casil({ redaction_patterns: ['a', 'b'] });
    const error = await refusal(guard.reload('red', { max_patterns: 1 }));
    expect(error.message).toContain('redaction_patterns has 2 entries; max_patterns allows 1.');
    await expect(guard.reload('red', { max_patterns: 1, redaction_patterns: ['a'] })).resolves.toBeDefined();
  });

  it('does not stand in the way of the next one', async () => {
    const guard = casil(BLOCKING);
    const faulty = refusal(guard.reload('red', { redaction_patterns: ['('] }));
    const right = guard.reload('red', { mode: 'monitor' });
    expect((await faulty).code).toBe('VALIDATION_ERROR');
    expect(await right).toMatchObject({ mode: 'monitor' });
  });
});

describe('the limits of tenants', () => {
  const guard = casil({ ...BLOCKING, max_patterns: 8, max_inspect_bytes: 10_000 });

  it.each<[string, Partial<CasilSettings>, string]>([
    ['more to inspect than the server', { max_inspect_bytes: 10_001 }, 'max_inspect_bytes must not be above'],
    ['more patterns than the server', { max_patterns: 9 }, "max_patterns must not be above the server's own, 8."],
    ['long lists', { scope_exclude: Array(101).fill('a') }, 'scope_exclude must not have more than 100 entries.'],
    [
      'long settings',
      { never_log_payload_for: Array(99).fill('a'.repeat(500)), scope_exclude: Array(99).fill('b'.repeat(500)) },
      'longer than 65536 characters',
    ],
    [
      'large tables',
      { redaction_patterns: Array.from({ length: 8 }, (_, i) => wide(i)) },
      'bytes of tables; 4194304 are allowed',
    ],
  ])('refuse %s', async (_what, changes, message) => {
    expect((await refusal(guard.reload('red', changes, LIMITED))).message).toContain(message);
    expect(guard.snapshot('red', true)).toMatchObject({ inherited: true });
  });

  it('do not bind what a tenant does not change, nor the operator', async () => {
    const operated = casil(BLOCKING);
    await operated.reload('red', { max_inspect_bytes: 100_000, scope_exclude: Array(200).fill('a') });
    await expect(operated.reload('red', { mode: 'monitor' }, LIMITED)).resolves.toMatchObject({
      mode: 'monitor',
      max_inspect_bytes: 100_000,
    });
  });

  it('bound how many tenants have a policy of their own', async () => {
    const full = casil(BLOCKING);
    for (let i = 0; i < TENANT_LIMITS.policies; i++) await full.reload(`t${i}`, { mode: 'monitor' }, LIMITED);
    expect((await refusal(full.reload('one-more', { mode: 'monitor' }))).code).toBe('LIMIT_EXCEEDED');
    expect(full.snapshot('one-more', true).inherited).toBe(true);
    await full.reload('t0', { mode: 'enforce' }, LIMITED);
    await full.reset('t1');
    await expect(full.reload('one-more', { mode: 'monitor' })).resolves.toMatchObject({ inherited: false });
  });

  it('bound how many changes of a tenant wait', async () => {
    const busy = casil(BLOCKING);
    const changes = Array.from({ length: TENANT_LIMITS.waiting + 1 }, () => busy.reload('red', { mode: 'monitor' }));
    const other = busy.reload('blue', { mode: 'monitor' });
    const settled = await Promise.allSettled(changes);
    expect(settled.map(({ status }) => status)).toEqual([
      ...Array(TENANT_LIMITS.waiting).fill('fulfilled'),
      'rejected',
    ]);
    expect((settled.at(-1) as PromiseRejectedResult).reason.code).toBe('LIMIT_EXCEEDED');
    await expect(other).resolves.toMatchObject({ mode: 'monitor' });
  });
});

/** A pattern that is accepted and needs a large table: a long word of many different letters. */
function wide(seed: number): string {
  const letters = Array.from({ length: 240 }, (_, i) => String.fromCodePoint(0x4e00 + i));
  return Array.from({ length: 500 }, (_, i) => letters[(i * (seed + 1) + seed) % 240]).join('');
}

describe('compiling', () => {
  it('of patterns that take long keeps nobody waiting', async () => {
    const began = performance.now();
    expect(buildPatterns(SLOW).ok).toBe(true);
    const compilation = performance.now() - began;
    expect(compilation).toBeGreaterThan(500);

    const guard = casil(BLOCKING);
    // The first thread of a process takes some milliseconds to start, whatever it does.
    await guard.reload('blue', { redaction_patterns: ['x'] }, LIMITED);
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const snapshot = await guard.reload('red', { redaction_patterns: SLOW }, LIMITED);
    delay.disable();
    expect(snapshot.redaction_patterns).toEqual(SLOW);
    // In a loop that compiled, one delay would be as long as the compilation, however busy the machine is.
    expect(delay.max / 1e6).toBeLessThan(compilation / 3);
    expect(delay.percentile(95) / 1e6).toBeLessThan(compilation / 20);
  });

  it('is given up after its time', async () => {
    await expect(compileInThread({ patterns: SLOW, secrets: false }, 20)).rejects.toThrow(
      'takes longer than 0.02 seconds to compile',
    );
  });

  it('finds the same in a thread as here', async () => {
    const patterns = ['EMP-\\d+', '(?i)straße', '[^\\pL]x', 'a{2,5}b', '\\x{1F600}+'];
    const { patterns: built } = await compileInThread({ patterns, secrets: false }, 20_000);
    expect(built).toEqual(buildPatterns(patterns));
  });

  it('prepares the rules for secrets aside too, where nobody has needed them', async () => {
    const { secrets } = await compileInThread({ patterns: [], secrets: true }, 20_000);
    expect(secrets?.bodies.length).toBeGreaterThan(70);
  });
});
