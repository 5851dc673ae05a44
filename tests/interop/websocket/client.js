// client.js URL OPTIONS PROTOCOL CLOSE [CAFILE]: npm ws as a client that sends Messages of many sizes, expects them back
// and closes with the code CLOSE. OPTIONS is JSON for it.
const WebSocket = require('ws');
const fs = require('fs');
const [, , url, options, protocol, close, authorities] = process.argv;
const sizes = [0, 1, 5, 125, 126, 127, 1000, 65535, 65536, 1 << 20, 5000000];
const make = i => Buffer.alloc(sizes[i], i % 3 ? 'abcdefgh' : 'abcdef\u00fc');
const isBinary = i => i % 3 === 0;
const settings = { maxPayload: 1 << 30, ...JSON.parse(options) };
if (authorities)
    settings.ca = fs.readFileSync(authorities);

const socket = new WebSocket(url, protocol ? protocol.split(',') : [], settings);
let count = 0;
socket.on('open', () => {
    socket.ping('there?');
    for (const i in sizes)
        socket.send(make(i), { binary: isBinary(i) });
    for (let i = 0; i < 10; i++)
        socket.send(`part ${i} \u00fc,`, { fin: i === 9, binary: false });
});
socket.on('pong', data => console.log('pong', data.toString()));
socket.on('message', (data, binary) => {
    const whole = count < sizes.length ? make(count) : Buffer.from([...Array(10).keys()].map(i => `part ${i} \u00fc,`).join(''));
    const kind = count < sizes.length ? isBinary(count) : false;
    if (Buffer.compare(data, whole) || binary !== kind)
        console.log('different', count, data.length, binary);
    if (count++ === sizes.length) {
        console.log('all of', count, 'protocol', socket.protocol, 'extensions', socket.extensions);
        socket.close(Number(close), 'enough');
    }
});
socket.on('unexpected-response', (request, response) => { console.log('refused', response.statusCode); process.exit(); });
socket.on('error', error => console.log('error', error.message));
socket.on('close', (code, reason) => console.log('closed', code));
