import type { Envelope } from '@arqonbus/protocol';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { At } from '../model/at.ts';
import { client, sentenceOf } from '../session/session.ts';

/** The options of a subscription, and its callbacks. */
interface Taken {
  /** Number of history messages. */
  readonly history: number;
  /** Called for every message; the latest callback is used. */
  readonly take: (envelope: Envelope) => void;
  /** Some messages were missed and cannot be recovered. */
  readonly missed?: () => void;
}

/**
 * Subscribes to a channel (null: none) while the view is open, across reconnects. Returns the error; empty if there is
 * none.
 */
export function useSubscription(at: At | null, taken: Taken): string {
  const [problem, setProblem] = useState('');
  const { value: now } = client;
  const latest = useRef(taken);
  latest.current = taken;
  const { room, channel } = at ?? {};
  useEffect(() => {
    setProblem('');
    if (now === null || room === undefined || channel === undefined) return;
    let isOver = false;
    let leave: (() => Promise<unknown>) | undefined;
    const options = {
      history: latest.current.history,
      echo: true,
      onMessage: ({ envelope }: { envelope: Envelope }): void => {
        if (!isOver) latest.current.take(envelope);
      },
      onReset: () => latest.current.missed?.(),
    };
    now.subscribe({ room, channel }, options).then(
      (subscription) => {
        leave = () => subscription.close();
        if (isOver) void leave().catch(() => {});
        subscription.on('close', (error) => {
          if (!isOver && error !== undefined) setProblem(sentenceOf(error));
        });
      },
      (error) => {
        if (!isOver) setProblem(sentenceOf(error));
      },
    );
    return () => {
      isOver = true;
      void leave?.().catch(() => {});
    };
  }, [now, room, channel]);
  return problem;
}
