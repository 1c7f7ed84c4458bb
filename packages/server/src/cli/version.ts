import { readFileSync } from 'node:fs';

/** Version of this package, read without loading the server so that `arqon --version` is fast. */
export const CLI_VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
