import { readFileSync } from 'node:fs';
import type { JsonObject } from '@arqonbus/protocol';
import specs from '@asyncapi/specs';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { allCommands } from '../scripts/all-commands.ts';
import { asyncapi } from '../scripts/asyncapi.ts';
import { Peer } from './fixtures/peer.ts';
import { startTestServer } from './fixtures/start.ts';

interface Described {
  components: { messages: Record<string, { payload: JsonObject }>; schemas: JsonObject };
  operations: Record<string, { action: string }>;
}

const text = asyncapi(await allCommands());
const document = parse(text) as Described;
// References lead from a message into the document's components, which stand beside it here.
const ajv = new Ajv({ allErrors: true, keywords: ['components'] });

describe('asyncapi.yaml', () => {
  it('is what the code says', () => {
    expect(readFileSync(new URL('../docs/asyncapi.yaml', import.meta.url), 'utf8')).toBe(text);
  });

  it('is AsyncAPI 3.0', () => {
    // The specification's schema brings the meta-schema of draft 7 along.
    const bare = new Ajv({ meta: false, validateSchema: false, strict: false, validateFormats: false });
    const validate = bare.compile(specs.schemas['3.0.0'] as object);
    expect(validate(document), JSON.stringify(validate.errors?.slice(0, 5))).toBe(true);
    expect(validate({ ...document, operations: { broken: { action: 'sing' } } })).toBe(false);
  });

  it('has no reference that leads nowhere', () => {
    const references = [...text.matchAll(/\$ref: ["']?#\/([^"'\n]+)/g)].map(([, path = '']) => path);
    expect(references.length).toBeGreaterThan(20);
    for (const reference of references) {
      const target = reference.split('/').reduce<unknown>((at, key) => (at as JsonObject | undefined)?.[key], document);
      expect(target, reference).toBeTypeOf('object');
    }
  });

  it('describes the frames that a server sends', async () => {
    const server = await startTestServer();
    const [sender, receiver] = [await Peer.connect(server.urls.bus), await Peer.connect(server.urls.bus)];
    const seen: Record<string, unknown> = { welcome: sender.welcome };
    const room = { room: 'science', channel: 'explore' };
    seen.command_response = await receiver.command('join_channel', { ...room, presence: true });
    seen.ack = await sender.publish({ ...room, payload: { text: 'x' } });
    seen.event = await receiver.next(({ type }) => type === 'event');
    sender.send({ type: 'private', to: receiver.id, payload: {} });
    seen.private = await receiver.next(({ type }) => type === 'private');
    seen.error = await sender.answer(sender.send({ type: 'private', to: 'nobody', payload: {} }));
    await sender.ask('join_channel', room);
    seen.system = await receiver.next(({ type }) => type === 'system');
    await receiver.ask('join_channel', { room: 'integriguard' });
    sender.send({ type: 'telemetry', payload: { eventType: 'x', payload: {} } });
    seen.telemetry = await receiver.next(({ type }) => type === 'telemetry');
    await Promise.all([sender.close(), receiver.close()]);
    await server.stop();

    const outbound = Object.keys(document.components.messages).filter((name) => name.startsWith('outbound.'));
    expect(Object.keys(seen).sort()).toEqual(outbound.map((name) => name.slice('outbound.'.length)).sort());
    for (const [type, frame] of Object.entries(seen)) {
      const { components } = document;
      const validate = ajv.compile({ ...components.messages[`outbound.${type}`]?.payload, components });
      expect(validate(frame), `${type}: ${JSON.stringify(validate.errors)}`).toBe(true);
      expect(validate({ ...(frame as object), type: 'other' })).toBe(false);
    }
  });
});
