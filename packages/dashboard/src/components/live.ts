import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { phase, reconnects, sentenceOf } from '../session/session.ts';

/** The state of a polled request. */
export interface Live<T> {
  /** The last response; undefined before the first. */
  readonly value: T | undefined;
  /** Why the last request failed; empty if it succeeded. */
  readonly problem: string;
  /** Requests immediately. */
  readonly reload: () => void;
}

/**
 * Requests immediately, then again `everyMs` after each response, while the page is visible and connected. Responses to
 * requests from before a change of `about` are dropped.
 */
export function useLive<T>(load: () => Promise<T>, everyMs: number, about = ''): Live<T> {
  const [answer, setAnswer] = useState<{ about: string; value: T | undefined; problem: string }>({
    about,
    value: undefined,
    problem: '',
  });
  const latest = useRef(load);
  latest.current = load;
  const [asked, setAsked] = useState(0);
  const isOpen = phase.value === 'open';
  const times = reconnects.value;
  useEffect(() => {
    if (!isOpen) return;
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = async (): Promise<void> => {
      if (document.visibilityState === 'visible') {
        try {
          const value = await latest.current();
          if (!isOver) setAnswer({ about, value, problem: '' });
        } catch (error) {
          if (!isOver) setAnswer((known) => ({ ...known, about, problem: sentenceOf(error) }));
        }
      }
      if (!isOver) timer = setTimeout(again, everyMs);
    };
    void again();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [about, everyMs, isOpen, times, asked]);
  const reload = useCallback(() => setAsked((known) => known + 1), []);
  const isCurrent = answer.about === about;
  return { value: isCurrent ? answer.value : undefined, problem: isCurrent ? answer.problem : '', reload };
}
