import { newId } from '@arqonbus/protocol';
import type { Sender } from '../../connection/session.ts';
import type { Engine } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import type { Happening } from '../../events.ts';
import { BusRig, onEnd, ownerOf, RecordingWire, type RigOptions, settled, turn } from '../rig.suite.ts';
import { Receiver } from './receiver.suite.ts';
import { createWebhookOperator, type WebhookOperator, type WebhookOptions } from './webhook.ts';

export { onEnd, ownerOf, RecordingWire, settled, turn };

export async function openReceiver(port?: number): Promise<Receiver> {
  const receiver = await Receiver.open(port);
  onEnd(() => receiver.close());
  return receiver;
}

export type WebhookRigOptions = Partial<WebhookOptions> & RigOptions;

/** A bus with the operator, in this process. */
export class Rig extends BusRig<WebhookOperator> {
  readonly happenings: Happening[] = [];
  private readonly waiting = new Set<() => void>();

  constructor(engine: Engine, options: WebhookRigOptions = {}) {
    const defaults = { allowHosts: ['127.0.0.1'], maxAttempts: 5 };
    super(engine, (bus) => createWebhookOperator(bus, { ...defaults, ...options }), options);
    this.bus.events.on((happening) => {
      this.happenings.push(happening);
      for (const look of this.waiting) look();
    });
  }

  /** Publishes `{n}` to `room:channel`. */
  publish(
    sender: Sender,
    room: string,
    channel: string | undefined,
    n: unknown,
    type: 'event' | 'telemetry' = 'event',
  ): void {
    this.bus.publisher.publish(sender, { id: newId(), type, room, channel, payload: { n } });
  }

  /** The `webhook_failed` events so far. */
  get failures(): Happening[] {
    return this.happenings.filter(({ event }) => event.eventType === 'webhook_failed');
  }

  /** Resolves once `condition` holds; it is looked at whenever the server tells of something. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }
}

export function openRig(options: WebhookRigOptions = {}, engine: Engine = createMemoryEngine()): Promise<Rig> {
  return new Rig(engine, options).start();
}
