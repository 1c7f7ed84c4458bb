import type { Access, Engine, Principal, StoredEvent, StreamAddress } from '@arqonbus/bus';
import {
  type Envelope,
  type HistoryEntry,
  isExpired,
  type JsonObject,
  type PartialAddress,
  splitMetadata,
} from '@arqonbus/protocol';

/** Redacts a stored payload, or the sender's metadata, before it is shown to administrators. */
export type Redact = (
  room: string,
  channel: string,
  content: JsonObject,
  of: { readonly tenant: string; readonly part: 'payload' | 'metadata' },
) => JsonObject;

export interface HistoryRequest {
  /** A channel; a room, with all its streams; or, if both are missing, the whole tenant. */
  readonly place: PartialAddress;
  /** Only messages from this sender. */
  readonly from: string | undefined;
  readonly limit: number;
}

const PAGE = 500;

/** The last stored envelopes of a place, limited by the caller's grants, oldest first. */
export async function readHistory(
  { access, engine }: { readonly access: Access; readonly engine: Engine },
  principal: Principal,
  { place, from, limit }: HistoryRequest,
  redact: Redact,
): Promise<HistoryEntry[]> {
  const found: { stored: StoredEvent; stream: StreamAddress; epoch: string }[] = [];
  for (const stream of await streamsOf(access, engine, principal, place)) {
    const events = await lastEvents(engine, stream, from, limit);
    if (events.length === 0) continue;
    const { epoch } = await engine.broker.state(stream);
    for (const stored of events) found.push({ stored, stream, epoch });
  }
  found.sort((one, other) => one.stored.time - other.stored.time);
  return found.slice(-limit).map(({ stored, stream, epoch }) => {
    const envelope = JSON.parse(stored.text) as Envelope;
    return {
      envelope: shownOf(envelope, stream, redact),
      stored_at: new Date(stored.time).toISOString(),
      storage_metadata: { backend: engine.backend, sequence: stored.sequence, epoch },
    };
  });
}

function shownOf(envelope: Envelope, { tenant, room, channel }: StreamAddress, redact: Redact): Envelope {
  const payload = redact(room, channel, envelope.payload, { tenant, part: 'payload' });
  const { own, server } = splitMetadata(envelope.metadata ?? {});
  if (own === undefined) return { ...envelope, payload };
  const metadata = { ...redact(room, channel, own, { tenant, part: 'metadata' }), ...server };
  return { ...envelope, payload, metadata };
}

async function streamsOf(
  access: Access,
  engine: Engine,
  principal: Principal,
  place: PartialAddress,
): Promise<StreamAddress[]> {
  const { tenant } = principal;
  const { room, channel } = place;
  if (room !== undefined && channel !== undefined) {
    access.require(principal, 'history', room, channel);
    return [{ tenant, room, channel }];
  }
  const streams = await engine.broker.streams(tenant, room);
  return streams.filter((stream) => access.may(principal, 'history', stream.room, stream.channel));
}

/** The last `limit` events of a stream, from one sender or all: reads pages backwards until there are enough. */
async function lastEvents(
  engine: Engine,
  stream: StreamAddress,
  from: string | undefined,
  limit: number,
): Promise<StoredEvent[]> {
  const now = Date.now();
  const isWanted = (event: StoredEvent): boolean =>
    (from === undefined || event.from === from) && !isExpired(event.text, now);
  const size = from === undefined ? limit : PAGE;
  let found: StoredEvent[] = [];
  for (let toSequence = Number.MAX_SAFE_INTEGER; ; ) {
    const page = await engine.broker.history(stream, { limit: size, take: 'last', toSequence });
    found = [...page.filter(isWanted), ...found];
    const [oldest] = page;
    if (oldest === undefined || page.length < size || found.length >= limit) return found.slice(-limit);
    toSequence = oldest.sequence - 1;
  }
}
