"""python3-websockets: `peer.py serve PORT` sends everything back; `peer.py ask URL` sends Messages of many sizes, expects
them back and closes."""
import asyncio
import sys

import websockets


async def echo(socket, _path=None):
    async for message in socket:
        await socket.send(message)


async def serve(port):
    async with websockets.serve(echo, "0.0.0.0", port, subprotocols=["chat"], max_size=1 << 30):
        print("listening", flush=True)
        await asyncio.Future()


async def ask(url):
    async with websockets.connect(url, subprotocols=["chat"], max_size=1 << 30) as socket:
        for message in ["", "text \u00fc", b"", b"x" * 126, b"y" * 65536, "z" * 3_000_000]:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(f"part {n}," for n in range(10))
        assert await socket.recv() == "".join(f"part {n}," for n in range(10))
        await asyncio.wait_for(await socket.ping(), 10)
        print("all", socket.subprotocol, [e.name for e in socket.extensions])
    print("closed", socket.close_code)


asyncio.run(serve(int(sys.argv[2])) if sys.argv[1] == "serve" else ask(sys.argv[2]))
