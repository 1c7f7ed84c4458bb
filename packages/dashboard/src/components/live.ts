import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { phase, reconnects, sentenceOf } from '../session/session.ts';

/** What is asked for again and again. */
export interface Live<T> {
  /** The last answer; undefined before the first. */
  readonly value: T | undefined;
  /** Why the last question failed; empty when it did not. */
  readonly problem: string;
  /** Asks now. */
  readonly reload: () => void;
}

/**
 * Asks at once, then each time so long after the last answer, while the page is seen and the line is there. An answer to
 * a question of before a change of `about` is dropped.
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
