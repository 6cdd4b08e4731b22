// Answers with its PID; as a file says that has its PID in its name, its check fails.
const fs = require('fs');
require('http').createServer((request, answer) => {
    const file = `sick-${process.pid}`;
    const how = request.url === '/healthz' && fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    if (how === 'hang') for (;;);
    if (how === 'close') return request.socket.destroy();
    if (how === 'silent') return;
    answer.statusCode = how === '500' ? 500 : 200;
    answer.end(String(process.pid));
}).listen(process.env.PORT);
