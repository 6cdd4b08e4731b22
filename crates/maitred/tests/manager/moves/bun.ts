
Bun.serve({
    port: process.env.PORT,
    fetch: (request, server) => server.upgrade(request) ? undefined : answer(request),
    websocket: { message: (socket, message) => void socket.send(message) },
});
console.log('up');
