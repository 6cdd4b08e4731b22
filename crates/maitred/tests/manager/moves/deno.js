
const port = Number(Deno.env.get('PORT'));
Deno.serve({ port, onListen: () => console.log('up') }, (request) => {
    if (request.headers.get('upgrade') !== 'websocket') return answer(request);
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = (event) => socket.send(event.data);
    return response;
});
