
const port = Number(Deno.env.get('PORT'));
Deno.serve({ port, onListen: () => console.log('up') }, (request) => {
    if (request.headers.get('upgrade') !== 'websocket') return answer(request);
    // Clients are silent for longer than it waits for a pong.
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
    socket.onmessage = (event) => socket.send(event.data);
    return response;
});
