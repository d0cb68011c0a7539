import { listenForInterruption } from './interruption.ts';
import { run } from './program.ts';

// Warnings about what our libraries call are not for the person at the terminal (grpc-js names an IP address in TLS).
process.noDeprecation = true;

process.exitCode = await run(process.argv.slice(2), { signal: listenForInterruption() });
