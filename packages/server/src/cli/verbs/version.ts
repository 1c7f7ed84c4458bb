import { Command } from 'commander';
import { getJson, type HttpOptions, withHttpAnswerOptions } from '../remote/http.ts';
import { printResult, remark } from '../terminal/output.ts';
import { pairs } from '../terminal/table.ts';
import { withExamples } from '../verb.ts';
import { CLI_VERSION } from '../version.ts';

/** What `/version` answers. */
export interface ServerVersion {
  readonly name: string;
  readonly version: string;
  readonly protocol: string;
  readonly build: { readonly git_commit: string | null; readonly build_date: string | null };
}

/** `arqon version`. */
export function versionVerb(): Command {
  const verb = new Command('version').description('Print the version of this program and of the running bus.');
  withExamples(withHttpAnswerOptions(verb), 'arqon version', 'arqon version --json');
  return verb.action(async (options: HttpOptions) => {
    const server = await getJson<ServerVersion>(options, '/version');
    if (server.version !== CLI_VERSION) remark(`the bus runs ${server.version} and this program is ${CLI_VERSION}.`);
    await printResult(options.json, { arqon: CLI_VERSION, server }, (_, paint) =>
      pairs(
        [
          ['arqon', CLI_VERSION],
          ['server', server.version],
          ['protocol', server.protocol],
          ['commit', server.build.git_commit],
          ['built', server.build.build_date],
        ],
        paint,
      ),
    );
  });
}
