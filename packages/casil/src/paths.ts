import { WILDCARD } from '@arqonbus/protocol';

const MAX_PATH_LENGTH = 256;

/** A node in the tree of dotted paths. */
export interface PathNode {
  readonly members: ReadonlyMap<string, PathNode>;
  /** The target of a `*` in the path: any member or item. */
  readonly any: PathNode | undefined;
  /** The path that ends here, as written. */
  readonly path: string | undefined;
}

/** The compiled `redaction_paths`. Names are compared in lower case. */
export interface RedactionPaths {
  /** Field name → the path as written; redacted at any depth. */
  readonly names: ReadonlyMap<string, string>;
  /** The root of dotted paths; undefined if there are none. */
  readonly root: PathNode | undefined;
}

interface Draft {
  readonly members: Map<string, Draft>;
  any: Draft | undefined;
  path: string | undefined;
}

/** Why `path` is not a valid redaction path, as the end of a sentence; undefined if it is valid. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'must not be empty';
  if (path.length > MAX_PATH_LENGTH) return `must not be longer than ${MAX_PATH_LENGTH} characters`;
  const segments = path.split('.');
  if (segments.some((segment) => segment === '')) return 'must not have an empty part between its dots';
  if (segments.every((segment) => segment === WILDCARD)) return 'must name at least one field';
  return undefined;
}

/** Compiles paths that are valid by {@link pathFault}. */
export function compilePaths(paths: readonly string[]): RedactionPaths {
  const names = new Map<string, string>();
  for (const path of paths) if (!path.includes('.')) names.set(path.toLowerCase(), path);
  return { names, root: treeOf(paths.filter((path) => path.includes('.'))) };
}

/** The tree of dotted paths from the root; undefined if there are none. */
export function treeOf(paths: readonly string[]): PathNode | undefined {
  if (paths.length === 0) return undefined;
  const root: Draft = draft();
  for (const path of paths) {
    let node = root;
    for (const segment of path.toLowerCase().split('.')) {
      let next = segment === WILDCARD ? node.any : node.members.get(segment);
      if (next === undefined) {
        next = draft();
        if (segment === WILDCARD) node.any = next;
        else node.members.set(segment, next);
      }
      node = next;
    }
    node.path = path;
  }
  return root;
}

/** The child nodes of `nodes` for the member `name` (in lower case, or an index). */
export function descend(nodes: readonly PathNode[], name: string): readonly PathNode[] {
  const result: PathNode[] = [];
  for (const { members, any } of nodes) {
    const member = members.get(name);
    if (member !== undefined) result.push(member);
    if (any !== undefined) result.push(any);
  }
  return result;
}

function draft(): Draft {
  return { members: new Map(), any: undefined, path: undefined };
}
