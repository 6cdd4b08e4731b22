// Without any signal handler.
const http = require('http');
const { WebSocketServer } = require(`${process.env.MODULES}/ws`);

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const kept = [];

const server = http.createServer((request, response) => {
    const got = [];
    request.on('data', (piece) => got.push(piece)).on('end', async () => {
        // Piece by piece, so that the loop goes on.
        for (let n = 0; request.url === '/grow' && n < 45; n++) {
            kept.push(Buffer.alloc(10 << 20, 1));
            await pause(1);
        }
        if (request.url === '/slow') {
            for (let n = 0; n < 10; n++) {
                response.write('0123456789');
                await pause(150);
            }
        }
        if (request.url === '/soon') await pause(Math.random() * 1000);
        if (request.url !== '/events') return response.end(Buffer.concat(got));
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        for (let n = 0; !response.destroyed; n++) {
            response.write(`data: ${n}\n\n`);
            await pause(20);
        }
    });
});

new WebSocketServer({ server }).on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
});

// On a busy machine clients are silent for longer than it keeps idle connections open.
server.keepAliveTimeout = 3_600_000;
server.listen(process.env.PORT, () => console.log('up'));
