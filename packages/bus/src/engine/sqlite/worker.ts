import { parentPort, workerData } from 'node:worker_threads';
import type { CallName, Calls, Reply, Request } from './calls.ts';
import { Connection } from './connection.ts';
import { isLasting, sentence } from './faults.ts';
import { KeyTable } from './keys.ts';
import { StreamTables } from './streams.ts';
import { UsageTable } from './usage.ts';

/**
 * The thread that owns the database at `workerData`: SQLite blocks the calling thread, including for fsync. It has no
 * clock, no timer and no state except the open database and its caches; every call passes the time.
 */
type Answers = { readonly [Name in CallName]: (ask: Calls[Name]['ask']) => Calls[Name]['answer'] };

const path = workerData as string;
let answers: Answers | undefined;

async function open(): Promise<Answers> {
  const db = await Connection.open(path);
  const streams = new StreamTables(db);
  const usage = new UsageTable(db);
  const keys = new KeyTable(db, usage);
  const write = <T>(work: () => T): T => {
    try {
      return db.transaction(() => {
        const result = work();
        usage.flush();
        return result;
      });
    } catch (error) {
      streams.forget();
      usage.forget();
      throw error;
    }
  };
  return {
    open: () => ({ streams: streams.all(), nextStream: streams.nextId(), latest: db.latestTime() }),
    ids: ({ after, now }) => streams.ids(after, now),
    commit: (batch) =>
      write(() => {
        db.noteTime(batch.now);
        streams.drop(batch.drops);
        streams.append(batch.streams, batch.events, batch.now);
        for (const ids of batch.ids) streams.remember(ids);
        const results = batch.operations.map((operation) => keys.apply(operation, batch.now));
        streams.trim(batch.streams, batch.now);
        return results;
      }),
    probe: (ask) => {
      db.probe();
      const standing = ask.streams.flatMap((id) => {
        const end = streams.end(id);
        return end === null ? [] : [{ id, ...end }];
      });
      return { standing, lastIds: streams.lastIds() };
    },
    sweep: ({ now }) =>
      write(() => {
        streams.sweep(now);
        return keys.sweep(now);
      }),
    state: ({ stream, now }) => streams.state(stream, now),
    usage: (ask) => ask.streams.map((stream) => streams.usage(stream, ask.now)),
    history: ({ stream, query, now }) => streams.history(stream, query, now),
    get: ({ at, key, now }) => keys.get(at, key, now),
    list: (ask) => keys.list(ask),
    spaces: ({ now }) => keys.spaces(now),
    tenants: ({ space, now }) => keys.tenants(space, now),
    stats: () => db.stats(),
    close: () => {
      db.close();
      return null;
    },
  };
}

/** The first request opens the database; if that fails, the next one tries again. */
async function answer(request: Request): Promise<unknown> {
  if (request.name === 'close' && answers === undefined) return null;
  answers ??= await open();
  const respond = answers[request.name] as (ask: Request['ask']) => unknown;
  return respond(request.ask);
}

// Requests are processed one at a time, including the asynchronous opening: answers keep the order.
let last: Promise<void> = Promise.resolve();

parentPort?.on('message', (request: Request) => {
  last = last.then(async () => {
    let reply: Reply;
    try {
      reply = { call: request.call, answer: await answer(request) };
    } catch (error) {
      reply = { call: request.call, fault: sentence(error, path), lasting: isLasting(error) };
    }
    parentPort?.postMessage(reply);
    // Nothing else keeps the thread alive.
    if (request.name === 'close') parentPort?.close();
  });
});
