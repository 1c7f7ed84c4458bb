import { describe, expect, it } from 'vitest';
import { attended } from '../attended.suite.ts';

const serve = attended();

describe('a room with more streams than a resume looks at', () => {
  it('claims to have recovered as long as all of them could be looked at, and no longer', async () => {
    const { bus, connect } = await serve([]);
    const peer = await connect();
    const first = await peer.ask('join_channel', { room: 'wide' });
    const since = { sequence: first.sequence, epoch: first.epoch };
    const resume = async (): Promise<boolean | undefined> => {
      const late = await connect();
      const { recovered } = await late.ask('join_channel', { room: 'wide', since });
      await late.ask('leave_channel', { room: 'wide' });
      return recovered;
    };
    // One stream is the room's own. Of the others 1,000 are listed, and as many again are asked for.
    const publish = (n: number) => bus.publish(`wide:c${n}`, { n }, { as: `maker-${n % 5}` });
    for (let n = 1; n <= 2_000; n += 1) await publish(n);
    expect(await resume()).toBe(true);
    await publish(2_001);
    expect(await resume()).toBe(false);
  });
});
