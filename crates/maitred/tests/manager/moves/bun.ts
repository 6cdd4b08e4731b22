
Bun.serve({
    port: process.env.PORT,
    // On a busy machine clients are silent for longer than it keeps idle connections open.
    idleTimeout: 0,
    fetch: (request, server) => server.upgrade(request) ? undefined : answer(request),
    // Clients are silent for a while.
    websocket: { idleTimeout: 900, message: (socket, message) => void socket.send(message) },
});
console.log('up');
