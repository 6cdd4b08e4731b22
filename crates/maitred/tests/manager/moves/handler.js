// What Bun and Deno answer. Without any signal handler.
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const bytes = (text) => new TextEncoder().encode(text);
const kept = [];

async function answer(request) {
    const { pathname } = new URL(request.url);
    // Piece by piece: a loop that stands still for long closes idle connections after that.
    for (let n = 0; pathname === '/grow' && n < 45; n++) {
        kept.push(new Uint8Array(10 << 20).fill(1));
        await pause(1);
    }
    if (pathname === '/slow') {
        return new Response(new ReadableStream({
            async start(to) {
                for (let n = 0; n < 10; n++) {
                    to.enqueue(bytes('0123456789'));
                    await pause(150);
                }
                to.close();
            },
        }));
    }
    if (pathname !== '/events') return new Response(await request.text());
    let n = 0;
    const events = new ReadableStream({
        async pull(to) {
            to.enqueue(bytes(`data: ${n++}\n\n`));
            await pause(20);
        },
    });
    return new Response(events, { headers: { 'Content-Type': 'text/event-stream' } });
}
