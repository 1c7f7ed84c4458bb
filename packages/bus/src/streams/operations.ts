import { setTimeout as delay } from 'node:timers/promises';
import { BusError } from '@arqonbus/protocol';
import type { Durability } from '../engine/engine.ts';
import type { NodeCalls } from '../node-calls.ts';
import type { KnownStreams, StreamRecord } from './known.ts';
import type { StreamOutcome } from './mark.ts';
import type { StreamRecords } from './records.ts';

/** How long a stream may have no owner, and how long another node may take to respond, in milliseconds. */
const PATIENCE_MS = 3_000;
const ANSWER_MS = 5_000;
const RETRY_MS = 100;

/** The result of ending a stream. */
export interface Ended {
  /** The sequence of the event with the whole text; 0 when a rule keeps none. */
  readonly sequence: number;
  readonly epoch: string;
  readonly stored: Durability;
  readonly delivered: number;
  readonly length: number;
}

/** Operations of a writer on an open stream. */
export interface Operations {
  readonly append: { readonly args: { readonly text: string }; readonly result: number };
  readonly close: { readonly args: { readonly state: StreamOutcome }; readonly result: Ended };
  readonly resume: { readonly args: Record<never, never>; readonly result: number };
}

export type OperationName = keyof Operations;

/** An operation sent to the node that has the stream. */
export interface Operation<N extends OperationName = OperationName> {
  readonly tenant: string;
  readonly id: string;
  /** The writer's identity. */
  readonly identity: string;
  readonly name: N;
  readonly args: Operations[N]['args'];
}

export interface StreamOwnersParts {
  readonly known: KnownStreams;
  readonly calls: NodeCalls;
  /** Null when this node is the only one. */
  readonly records: StreamRecords | null;
}

/** Finds the node that has a stream, and sends operations to it. */
export class StreamOwners {
  private readonly parts: StreamOwnersParts;

  constructor(parts: StreamOwnersParts) {
    this.parts = parts;
  }

  /** The record of an open stream; null without one. */
  async find(tenant: string, id: string): Promise<StreamRecord | null> {
    const known = this.parts.known.get(tenant, id);
    if (known !== undefined && known.record !== null && !known.isGone) return known.record;
    return (await this.parts.records?.find(tenant, id)) ?? null;
  }

  /**
   * Sends an operation to the node that has a stream, and waits during a handover. Rejects with NOT_FOUND, with the
   * error of that node, and with STORAGE_UNAVAILABLE when it does not respond.
   *
   * @param allow throws unless the sender may write to the stream
   */
  async ask<N extends OperationName>(
    operation: Operation<N>,
    allow: (record: StreamRecord) => void,
  ): Promise<Operations[N]['result']> {
    const { tenant, id } = operation;
    const until = performance.now() + PATIENCE_MS;
    let record = await this.find(tenant, id);
    for (;;) {
      if (record === null) throw unknownStream(id);
      allow(record);
      try {
        if (record.node === '') throw moving(id);
        const answer = await this.parts.calls.ask(record.node, 'stream.operate', operation, ANSWER_MS);
        return answer as Operations[N]['result'];
      } catch (error) {
        const asked: StreamRecord = record;
        record = (await this.parts.records?.find(tenant, id)) ?? null;
        const isMoved = record === null || record.run !== asked.run || record.node === '';
        if (!isMoved || performance.now() >= until) throw error;
        await delay(RETRY_MS);
      }
    }
  }
}

export function unknownStream(id: string): BusError {
  return new BusError('NOT_FOUND', `There is no open stream ${id}; it may have ended.`, { stream_id: id });
}

function moving(id: string): BusError {
  return new BusError('STORAGE_UNAVAILABLE', `The stream ${id} moves to another node; try again.`, { stream_id: id });
}
