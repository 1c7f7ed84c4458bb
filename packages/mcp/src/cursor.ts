import type { Position } from '@arqonbus/protocol';
import { invalid } from './place.ts';

/** The position of a stream without events: everything published is after it. */
export const START: Position = { sequence: 0, epoch: '' };

/** A position as given to a model: `SEQ@EPOCH`, an opaque text. */
export function writeCursor({ sequence, epoch }: Position): string {
  return `${sequence}@${epoch}`;
}

/**
 * Parses a cursor; undefined for an empty text, which means from now on. Throws INVALID_ARGUMENT that names the field.
 */
export function readCursor(text: string, field: string): Position | undefined {
  if (text === '') return undefined;
  const [, sequence, epoch] = /^(\d{1,16})@([\w-]{0,64})$/.exec(text) ?? [];
  if (sequence === undefined || epoch === undefined || !Number.isSafeInteger(Number(sequence))) {
    throw invalid(
      `"${field}" is not a cursor; hand back one that join, read or wait gave you, unchanged, or "" to start now.`,
    );
  }
  return { sequence: Number(sequence), epoch };
}
