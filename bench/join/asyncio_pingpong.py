#!/usr/bin/env python3
"""A ping-pong with Python's asyncio: an example of a pair that joins the benchmark from outside (join.json).

    asyncio_pingpong.py server
    asyncio_pingpong.py client PORT WARM_MS RUN_MS OPS
"""
import asyncio
import ctypes
import os
import signal
import sys
import time

SIZE = 100
PR_SET_PDEATHSIG = 1


async def serve(reader, writer):
    try:
        while True:
            writer.write(await reader.readexactly(SIZE))
    except asyncio.IncompleteReadError:
        writer.close()


async def run_server():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"ready port={server.sockets[0].getsockname()[1]} pid={os.getpid()}", flush=True)
    await server.serve_forever()


async def run_client(port, warm_ms, run_ms, ops):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    start = time.monotonic_ns() + warm_ms * 1000000 if not ops else time.monotonic_ns()
    while (done < ops) if ops else (time.monotonic_ns() < start + run_ms * 1000000):
        writer.write(b"?" * SIZE)
        await reader.readexactly(SIZE)
        done += bool(ops) or time.monotonic_ns() >= start
    print(f"result ops={done} ns={time.monotonic_ns() - start} note=asyncio", flush=True)
    writer.close()


def main():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if sys.argv[1] == "server":
        asyncio.run(run_server())
    else:
        asyncio.run(run_client(*map(int, sys.argv[2:6])))


if __name__ == "__main__":
    main()
