import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { fill, type Json, mismatch, type Variables } from './pattern.ts';
import { type Open, Peer, Refused } from './peer.ts';

/** One line of a scenario: a verb and its options (README, "Steps"). */
export type Step = { readonly [key: string]: Json };

export interface Scenario {
  readonly name: string;
  readonly description?: string;
  readonly steps: readonly Step[];
}

/** One frame and what must come of it, on a connection of its own (README, "Vectors"). */
export interface Vector {
  readonly name: string;
  readonly setup?: readonly Step[];
  readonly send?: Json;
  readonly text?: string;
  readonly bytes?: string;
  readonly expect?: Json;
  readonly refused?: string;
  readonly request_id?: string;
  readonly command?: string;
  readonly args?: Json;
  readonly error?: string;
  readonly payload?: Json;
}

/** The client that a vector's frame comes from. */
const VECTOR_CLIENT = 'client';

/** What every refusal of a frame has in common. */
const REFUSAL: { readonly [key: string]: Json } = {
  type: 'error',
  version: '1.0',
  id: { $regex: 'arq_[A-Za-z0-9_-]{1,124}' },
  from: 'arqonbus',
  timestamp: { $type: 'string' },
  error: { $type: 'string' },
};

/** Runs a vector against the bus at `url`. Rejects, saying what differs. */
export async function runVector(url: string, vector: Vector): Promise<void> {
  const { name, setup = [] } = vector;
  const steps = [{ connect: VECTOR_CLIENT }, ...setup, ...stepsOf(vector), { fence: VECTOR_CLIENT }];
  await runScenario(url, { name, steps });
}

function stepsOf(vector: Vector): Step[] {
  const { command, send, text, bytes, args, error, payload, refused, request_id: answered, expect } = vector;
  if (command !== undefined) return [given({ command: VECTOR_CLIENT, name: command, args, error, payload })];
  const sent = given({ send: VECTOR_CLIENT, frame: send, text, bytes });
  if (refused !== undefined) {
    const request_id = answered ?? { $absent: true };
    const frame = { ...REFUSAL, error_code: refused, request_id, payload: payload ?? {} };
    return [sent, { expect: VECTOR_CLIENT, frame }];
  }
  if (expect === undefined) throw new Error(`${vector.name}: the vector says nothing of the answer`);
  const answers = expect === null ? [] : Array.isArray(expect) ? expect : [expect];
  return [sent, ...answers.map((frame): Step => ({ expect: VECTOR_CLIENT, frame }))];
}

function given(step: Record<string, Json | undefined>): Step {
  return Object.fromEntries(Object.entries(step).filter((entry): entry is [string, Json] => entry[1] !== undefined));
}

/** Runs a scenario against the bus at `url`, over connections that `open` makes. Rejects, naming the step and what differs. All connections end with it. */
export async function runScenario(url: string, scenario: Scenario, open: Open = Peer.open): Promise<void> {
  const run = new Run(url, open);
  try {
    await run.steps(scenario.steps, scenario.name);
  } finally {
    await run.end();
  }
}

class Run {
  private readonly url: string;
  private readonly open: Open;
  private readonly peers: Map<string, Peer> = new Map();
  private readonly variables: Variables = new Map([['run', `c${randomBytes(6).toString('hex')}`]]);
  private count = 0;

  constructor(url: string, open: Open) {
    this.url = url;
    this.open = open;
  }

  async steps(steps: readonly Step[], at: string): Promise<void> {
    for (const [index, step] of steps.entries()) {
      const place = `${at}, step ${index + 1}`;
      if (step.repeat !== undefined) {
        for (let round = 0; round < (step.repeat as number); round += 1) {
          this.variables.set('index', round);
          await this.steps(step.steps as Step[], `${place}, round ${round + 1}`);
        }
        continue;
      }
      try {
        await this.step(step);
      } catch (error) {
        throw new Error(`${place} ${JSON.stringify(step).slice(0, 300)}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
  }

  async end(): Promise<void> {
    await Promise.all([...this.peers.values()].map((peer) => peer.close()));
  }

  private async step(step: Step): Promise<void> {
    if (step.connect !== undefined) return this.connect(step);
    if (step.send !== undefined) return this.send(this.peer(step.send), step);
    if (step.command !== undefined) return this.command(this.peer(step.command), step);
    if (step.expect !== undefined) return this.expect(this.peer(step.expect), step);
    if (step.await !== undefined) return this.await(this.peer(step.await), step.frame as Json);
    if (step.fence !== undefined) return this.fence(this.peer(step.fence));
    if (step.close !== undefined) return this.peer(step.close).close();
    if (step.expectClose !== undefined) {
      const code = await this.peer(step.expectClose).closed();
      if (code !== step.code) throw new Error(`closed with ${code}`);
      return;
    }
    throw new Error('there is no such step');
  }

  private async connect(step: Step): Promise<void> {
    const name = step.connect as string;
    const query = this.fill(step.query ?? {}) as Record<string, string>;
    const url = new URL(this.url);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const headers = this.fill(step.headers ?? {}) as Record<string, string>;
    const subprotocols = (step.subprotocols ?? []) as string[];
    if (step.refused !== undefined) {
      const opened = await this.open(url, subprotocols, headers).catch((error: unknown) => error);
      if (opened instanceof Peer) await opened.close();
      if (opened instanceof Refused && opened.status === step.refused) return;
      throw new Error(opened instanceof Error ? opened.message : 'the handshake was not refused');
    }
    const peer = await this.open(url, subprotocols, headers);
    this.peers.set(name, peer);
    if (step.selected !== undefined && peer.subprotocol !== step.selected) {
      throw new Error(`the subprotocol is ${JSON.stringify(peer.subprotocol)}`);
    }
    const welcome = await peer.next();
    this.match({ type: 'system', payload: { event: 'welcome', client_id: { $capture: name } } }, welcome);
    if (step.welcome !== undefined) this.match(step.welcome, welcome);
  }

  private send(peer: Peer, step: Step): void {
    if (step.bytes !== undefined) peer.send(Buffer.from(step.bytes as string, 'base64'));
    else if (step.text !== undefined) peer.send(String(this.fill(step.text)));
    else peer.send(JSON.stringify(this.fill(step.frame as Json)));
  }

  private async command(peer: Peer, step: Step): Promise<void> {
    const id = this.newId();
    const frame = { version: '1.0', id, type: 'command', command: step.name as Json, args: step.args ?? {} };
    peer.send(JSON.stringify(this.fill(frame)));
    const outcome =
      step.error === undefined
        ? { status: 'success' }
        : { status: 'error', error_code: step.error, error: REFUSAL.error as Json };
    const head = { type: 'command_response', request_id: id, command: step.name as Json, from: 'arqonbus' };
    this.match({ ...head, ...outcome, payload: step.payload ?? {} }, await peer.next());
  }

  private async expect(peer: Peer, step: Step): Promise<void> {
    if (step.frame !== undefined) {
      this.match(step.frame, await peer.next());
      return;
    }
    const patterns = [...(step.frames as Json[])];
    while (patterns.length > 0) {
      const frame = await peer.next();
      const faults = patterns.map((pattern) => this.compare(pattern, frame));
      const found = faults.indexOf(null);
      if (found < 0) throw new Error(`${JSON.stringify(frame)} is none of those expected: ${faults.join('; ')}`);
      patterns.splice(found, 1);
    }
  }

  private async await(peer: Peer, pattern: Json): Promise<void> {
    while (this.compare(pattern, await peer.next()) !== null);
  }

  private async fence(peer: Peer): Promise<void> {
    const id = this.newId();
    peer.send(JSON.stringify({ version: '1.0', id, type: 'command', command: 'ping', args: {} }));
    this.match({ type: 'command_response', request_id: id }, await peer.next());
  }

  private match(pattern: Json, actual: Json): void {
    const fault = this.compare(pattern, actual);
    if (fault !== null) throw new Error(`${fault}, in ${JSON.stringify(actual).slice(0, 1_000)}`);
  }

  /** Null when it matches; only then what it captured is kept. */
  private compare(pattern: Json, actual: Json): string | null {
    const captured: Variables = new Map();
    const fault = mismatch(this.fill(pattern), actual, captured);
    if (fault === null) for (const [name, value] of captured) this.variables.set(name, value);
    return fault;
  }

  private fill(value: Json): Json {
    return fill(value, this.variables);
  }

  private newId(): string {
    this.count += 1;
    return `arq_${String(this.variables.get('run'))}_${this.count}`;
  }

  private peer(name: Json): Peer {
    const peer = this.peers.get(name as string);
    if (peer === undefined) throw new Error(`${String(name)} is not connected`);
    return peer;
  }
}
