import type { AnyRoute } from './route.ts';

/** Which paths there are and what may be done at each: for the answers to requests that no route takes. */
export class PathTable {
  private readonly routes: readonly { readonly pattern: RegExp; readonly route: AnyRoute }[];

  constructor(routes: readonly AnyRoute[]) {
    this.routes = routes.map((route) => ({ pattern: patternOf(route.path), route }));
  }

  /** Whether the path asks for neither credentials nor an origin. */
  isOpen(path: string): boolean {
    return this.at(path).some(({ access }) => access === 'open' || access === 'metrics');
  }

  /** The methods of a path; null when there is no such path. */
  allowedAt(path: string): readonly string[] | null {
    const methods = new Set(this.at(path).map(({ method }) => method.toUpperCase()));
    if (methods.size === 0) return null;
    if (methods.has('GET')) methods.add('HEAD');
    return [...methods, 'OPTIONS'];
  }

  private at(path: string): AnyRoute[] {
    return this.routes.filter(({ pattern }) => pattern.test(path)).map(({ route }) => route);
  }
}

/** Parameters of a path stand between slashes. */
function patternOf(path: string): RegExp {
  const parts = path.split('/').map((part) => (part.startsWith('{') ? '[^/]+' : part.replaceAll('.', '\\.')));
  return new RegExp(`^${parts.join('/')}$`);
}
