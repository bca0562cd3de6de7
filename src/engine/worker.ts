// The worker's whole life: an engine on the models folder its name gives, served on its own port.
import type { Command, Port, Reply } from './protocol.ts';
import { serveEngine } from './serve.ts';
import { AnyEngine } from './any.ts';

// TypeScript knows the page's globals here, not a worker's.
const scope = globalThis as unknown as Port<Reply, Command> & { readonly name: string };

serveEngine(new AnyEngine(new URL(scope.name)), scope);
