import { expect, it } from 'vitest';
import { StreamMap } from './stream-map.ts';

function at(address: string): { tenant: string; room: string; channel: string } {
  const [tenant = '', room = '', channel = ''] = address.split('/');
  return { tenant, room, channel };
}

function mapOf(...addresses: string[]): StreamMap<string> {
  const map = new StreamMap<string>();
  for (const address of addresses) map.set(at(address), address);
  return map;
}

it('counts each stream once', () => {
  const map = mapOf('t/r/a', 't/r/b', 'u/r/a');
  map.set(at('t/r/a'), 'again');
  expect(map.size).toBe(3);
  map.delete(at('t/r/a'));
  map.delete(at('t/r/a'));
  map.delete(at('t/none/a'));
  expect(map.size).toBe(2);
  expect([...map.values()].sort()).toEqual(['t/r/b', 'u/r/a']);
});

it('visits every stream that remains once, also when others are added and deleted meanwhile', () => {
  const map = mapOf('t/r/a', 't/r/b', 't/s/a', 'u/r/a');
  const visited: string[] = [];
  for (const stream of map.values()) {
    visited.push(stream);
    if (stream === 't/r/a') map.delete(at('t/r/a'));
    if (stream === 't/r/b') {
      // The room is removed with its last stream, and created again.
      map.delete(at('t/r/b'));
      map.set(at('t/r/c'), 't/r/c');
      map.delete(at('u/r/a'));
    }
  }
  expect(visited).toEqual(['t/r/a', 't/r/b', 't/s/a', 't/r/c']);
  expect([...map.values()]).toEqual(['t/s/a', 't/r/c']);
});
