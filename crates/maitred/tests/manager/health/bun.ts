// Answers with its PID; as a file says that has its PID in its name, its check fails.
import { existsSync, readFileSync } from 'node:fs';
Bun.serve({ port: process.env.PORT, idleTimeout: 60, fetch: ({ url }) => {
    const file = `sick-${process.pid}`;
    const how = url.endsWith('/healthz') && existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (how === 'hang') for (;;);
    if (how === 'silent') return new Promise(() => {});
    return new Response(String(process.pid), { status: how === '500' ? 500 : 200 });
} });
