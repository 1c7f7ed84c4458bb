import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Bus, createBus } from '../bus.ts';
import { isUsualJoin } from './membership.ts';

const name = fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('a'.repeat(1_030), 'a'.repeat(1_031)));
const position = fc.record(
  {
    sequence: fc.oneof(fc.nat(), fc.constantFrom(-1, -0, 1.5, 2 ** 53, '1', null)),
    epoch: fc.oneof(name, fc.constantFrom('e'.repeat(64), 'e'.repeat(65), 7)),
    other: fc.boolean(),
  },
  { requiredKeys: [] },
);
const args = fc.record(
  {
    room: fc.oneof(name, fc.jsonValue()),
    channel: fc.oneof(name, fc.jsonValue()),
    since: fc.oneof(position, fc.jsonValue()),
    echo: fc.boolean(),
    unknown: fc.jsonValue(),
    ['__proto__']: fc.jsonValue(),
  },
  { requiredKeys: [], noNullPrototype: true },
);

it('takes no arguments for usual ones that the schema refuses or changes', async () => {
  const bus: Bus = await createBus();
  const join = bus.commands.find('join_channel')!;
  fc.assert(
    fc.property(args, (given) => {
      if (isUsualJoin(given as never)) expect(join.args.safeParse(given)).toEqual({ success: true, data: given });
    }),
    { numRuns: 500 },
  );
  await bus.close({ withinMs: 0 });
});

it.each([{ room: 'r', channel: 'c' }, { room: 'r:c' }, { room: 'r', channel: 'c', since: { sequence: 0, epoch: '' } }])(
  'needs no schema for %j',
  (usual) => {
    expect(isUsualJoin(usual)).toBe(true);
  },
);
