// Answers with its PID; as a file says that has its PID in its name, its check fails.
Deno.serve({ port: Number(Deno.env.get('PORT')) }, ({ url }) => {
    let how = '';
    if (url.endsWith('/healthz')) try { how = Deno.readTextFileSync(`sick-${Deno.pid}`); } catch {}
    if (how === 'hang') for (;;);
    if (how === 'silent') return new Promise(() => {});
    return new Response(String(Deno.pid), { status: how === '500' ? 500 : 200 });
});
