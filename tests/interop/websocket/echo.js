// echo.js PORT OPTIONS [CERTIFICATE KEY]: npm ws as a server that sends everything back. OPTIONS is JSON for it.
const { WebSocketServer } = require('ws');
const fs = require('fs');
const https = require('https');
const [, , port, options, cert, key] = process.argv;
const settings = { maxPayload: 1 << 30, ...JSON.parse(options) };

const server = cert ? https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : null;
const sockets = server ? new WebSocketServer({ server, ...settings })
                       : new WebSocketServer({ host: '0.0.0.0', port: Number(port), ...settings });
const say = () => console.log('listening');
if (server)
    server.listen(Number(port), '0.0.0.0', say);
else
    sockets.on('listening', say);

sockets.on('connection', (socket, request) => {
    console.log('accepted', request.url, socket.protocol, socket.extensions, request.headers.origin,
                request.headers['x-test']);
    socket.on('message', (data, isBinary) => {
        const text = isBinary ? '' : data.toString();
        if (text === 'close 4321')
            socket.close(4321, 'as you wish');
        else if (text === 'close 1008')
            socket.close(1008, 'policy');
        else if (text === 'terminate')
            socket.terminate();
        else if (text === 'fragments')
            for (let i = 0; i < 10; i++) {
                socket.send(`part ${i} \u00fc,`, { fin: i === 9, binary: false, compress: i % 2 === 0 });
                socket.ping(String(i));
            }
        else
            socket.send(data, { binary: isBinary });
    });
    socket.on('pong', data => console.log('pong', data.toString()));
    socket.on('ping', data => console.log('ping', data.toString()));
    socket.on('error', error => console.log('error', error.message));
    socket.on('close', (code, reason) => console.log('closed', code, reason.toString()));
});
