import type { JsonObject } from '@arqonbus/protocol';
import type { Random } from './random.ts';

/** Puts a text into a payload as one would meet it on the bus. The names of the fields tell nothing. */
export function carry(random: Random, text: unknown): JsonObject {
  if (typeof text !== 'string')
    return random.pick<() => JsonObject>([() => text as JsonObject, () => ({ id: random.uuid(), data: text })])();
  return random.pick<() => JsonObject>([
    () => ({ text }),
    () => ({ message: `${random.words(4)} ${text}`, from: random.words(1), at: random.timestamp() }),
    () => ({ log: `${random.timestamp()} INFO ${text}\n${random.words(5)}`, level: 'info', pid: random.int(1, 9_999) }),
    () => ({ event: 'tool_result', result: { content: [{ type: 'text', text: `${random.words(3)}:\n${text}\n` }] } }),
    () => ({ args: ['--run', text, '--verbose'], cwd: '/srv/app', code: random.int(0, 2) }),
    () => ({
      order: { id: random.uuid(), notes: [{ by: random.words(1), note: `"${text}"` }] },
      total: random.int(1, 999),
    }),
    () => ({ config: { nested: { deeper: [[{ value: text }]] } }, list: [1, null, true] }),
  ])();
}

/** Makes a text the name of a field somewhere in a payload. */
export function carryName(random: Random, text: string): JsonObject {
  return random.pick<() => JsonObject>([
    () => ({ [text]: true }),
    () => ({ counts: { [random.words(1)]: random.int(0, 9), [text]: random.int(0, 9) } }),
    () => ({ list: [{ map: { [text]: { by: random.words(1) } } }] }),
    () => ({ headers: { [`${random.words(1)} ${text}`]: random.words(1) } }),
  ])();
}

/** Puts a value under a name somewhere in a payload. */
export function carryField(random: Random, name: string, value: string): JsonObject {
  return random.pick<() => JsonObject>([
    () => ({ [name]: value }),
    () => ({ user: random.words(1), [name]: value, active: true }),
    () => ({ settings: { database: { host: 'db.internal', [name]: value } } }),
    () => ({ accounts: [{ id: random.uuid(), [name]: value }, { id: random.uuid() }] }),
  ])();
}
