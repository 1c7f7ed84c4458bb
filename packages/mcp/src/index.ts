export { Agent, type AgentOptions } from './agent.ts';
export { type HttpOptions, McpHttp } from './http.ts';
export { createServer, type ServerOptions } from './server.ts';
export { type StdioOptions, serveOverStdio } from './stdio.ts';
export { checkChannels } from './tools/channel-tool.ts';
