import type { Envelope } from '@arqonbus/protocol';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { At } from '../model/at.ts';
import { client, sentenceOf } from '../session/session.ts';

/** What a subscription begins with, and who takes its messages. */
interface Taken {
  /** Messages of the past. */
  readonly history: number;
  /** Called for every message; the last given one is. */
  readonly take: (envelope: Envelope) => void;
  /** Some were missed for good. */
  readonly missed?: () => void;
}

/**
 * Is a member of a channel (of none: null) as long as the view is open, across reconnects. Answers why that does not
 * work; empty when it does.
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
