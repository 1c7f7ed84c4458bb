import { compileGlob } from '@arqonbus/protocol';

const MAX_GLOB_LENGTH = 512;
const GLOB = /^[A-Za-z0-9._:/*-]+$/;

/** A set of places, defined by globs. `channel` is `*` for a whole room; either argument may be `room:channel`. */
export type Places = (room: string | undefined, channel: string | undefined) => boolean;

/** Why `glob` is invalid, as the end of a sentence; undefined if it is valid. */
export function globFault(glob: string): string | undefined {
  if (glob === '') return 'must not be empty';
  if (glob.length > MAX_GLOB_LENGTH) return `must not be longer than ${MAX_GLOB_LENGTH} characters`;
  if (GLOB.test(glob)) return undefined;
  return 'may only hold what room and channel names are made of, ":" and "*"';
}

/**
 * Compiles globs that are matched against `room:channel`, the room alone and the channel alone. A message without a
 * room only matches a glob of nothing but stars.
 */
export function compilePlaces(globs: readonly string[]): Places {
  if (globs.length === 0) return () => false;
  const compiled = globs.map(compileGlob);
  const everywhere = globs.some((glob) => /^\*+$/.test(glob));
  if (everywhere) return () => true;
  const holds = (room: string, channel: string): boolean => {
    const address = `${room}:${channel}`;
    return compiled.some((glob) => glob(address) || glob(room) || glob(channel));
  };
  return (room, channel) => {
    if (room !== undefined && channel !== undefined) return holds(room, channel);
    // Commands may have both in either argument.
    const address = room ?? channel ?? '';
    const colon = address.indexOf(':');
    if (colon >= 0) return holds(address.slice(0, colon), address.slice(colon + 1));
    return room !== undefined && holds(room, '*');
  };
}

/** Compiles the scope: exclusions take precedence; an empty include list means everything. */
export function compileScope(include: readonly string[], exclude: readonly string[]): Places {
  const included = compilePlaces(include);
  const excluded = compilePlaces(exclude);
  const all = include.length === 0;
  return (room, channel) => !excluded(room, channel) && (all || included(room, channel));
}

/** Those of `globs` that match the place; for explanations. */
export function matchingGlobs(
  globs: readonly string[],
  room: string | undefined,
  channel: string | undefined,
): string[] {
  return globs.filter((glob) => compilePlaces([glob])(room, channel));
}
