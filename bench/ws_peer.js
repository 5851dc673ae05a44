// WebSocket echo with npm's package ws, the twin of taps_websocket.c: Messages of 100 bytes there and back, one at a
// time or several under way.
//
//     node ws_peer.js server
//     node ws_peer.js client PORT PID WARM_MS RUN_MS OPS UNDER_WAY
const fs = require('fs');
const SIZE = 100;
const SKIPPED = 77;
const parent = process.ppid;

// Where Debian's package node-ws is, for a node that is not Debian's.
function load() {
    for (const name of ['ws', '/usr/share/nodejs/ws', '/usr/lib/nodejs/ws']) {
        try {
            return require(name);
        } catch (error) {
            if (error.code !== 'MODULE_NOT_FOUND')
                throw error;
        }
    }
    console.error('skipped: needs the package ws of node (Debian: node-ws)');
    process.exit(SKIPPED);
}

const ws = load();

// CPU time of all threads of a process, in nanoseconds; 0 = not known.
function cpuTime(pid) {
    try {
        const ofThread = id => Number(fs.readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'ascii').split(' ')[0]);
        return fs.readdirSync(`/proc/${pid}/task`).reduce((sum, id) => sum + ofThread(id), 0);
    } catch {
        return 0;
    }
}

function serve() {
    const server = new (ws.WebSocketServer || ws.Server)({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
    server.on('listening', () => console.log(`ready port=${server.address().port} pid=${process.pid}`));
    server.on('connection', socket => {
        socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
        socket.on('error', () => socket.terminate());
    });
    // No server outlives a harness that was killed.
    setInterval(() => process.ppid !== parent && process.exit(1), 1000).unref();
}

function ask(port, peer, warmMs, runMs, ops, underWay) {
    const message = Buffer.alloc(SIZE, '?');
    const socket = new ws(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false });
    let count = 0, measuring = false, start, next, cpu;

    function begin() {
        measuring = true;
        count = 0;
        cpu = [process.pid, peer].map(cpuTime);
        start = process.hrtime.bigint();
        next = start + BigInt(runMs) * 1000000n;
    }

    // True: the window goes on. The clock is read every 16 operations, as in bench.h.
    function goesOn() {
        count++;
        if (ops)
            return count < ops;
        if (count & 15 || process.hrtime.bigint() < next)
            return true;
        if (measuring)
            return false;
        begin();
        return true;
    }

    function finish() {
        const ns = process.hrtime.bigint() - start;
        const used = [process.pid, peer].map((pid, i) => cpuTime(pid) - cpu[i]);
        console.log(`result ops=${count} ns=${ns} cpu_ns=${used[0]} peer_cpu_ns=${used[1]} note=ws`);
        process.exit(0);
    }

    socket.on('open', () => {
        next = process.hrtime.bigint() + BigInt(warmMs) * 1000000n;
        if (ops || !warmMs)
            begin();
        for (let i = 0; i < underWay; i++)
            socket.send(message);
    });
    socket.on('message', data => {
        if (!message.equals(data)) {
            console.error('another Message came back');
            process.exit(1);
        }
        if (goesOn())
            socket.send(message);
        else
            finish();
    });
    socket.on('error', error => { console.error(error.message); process.exit(1); });
    socket.on('close', code => { console.error(`the server closed with ${code}`); process.exit(1); });
}

if (process.argv[2] === 'server')
    serve();
else
    ask(...process.argv.slice(3, 9).map(Number));
