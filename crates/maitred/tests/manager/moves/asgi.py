"""An ASGI app in uvicorn. Without any signal handler of its own."""

import asyncio
import os

import uvicorn

kept = []


async def app(scope, receive, send):
    await {"lifespan": lifespan, "http": answer, "websocket": echo}[scope["type"]](scope, receive, send)


async def lifespan(_, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(scope, receive, send):
    got, more = b"", True
    while more:
        message = await receive()
        got, more = got + message.get("body", b""), message.get("more_body", False)
    path = scope["path"]
    if path == "/grow":
        # Piece by piece, so that the loop goes on.
        for _ in range(45):
            kept.append(b"1" * (10 << 20))
            await asyncio.sleep(0)
    fields = [(b"content-length", b"%d" % len(got))]
    if path == "/slow":
        fields = []
    if path == "/events":
        fields = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if path == "/slow":
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
            await asyncio.sleep(0.15)
    if path == "/events":
        left = asyncio.create_task(receive())
        number = 0
        while not left.done():
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            number += 1
            await asyncio.sleep(0.02)
        return
    await send({"type": "http.response.body", "body": got})


async def echo(_, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("up", flush=True)


# Clients of WebSockets are silent for longer than it waits for a pong, and on a busy machine others for longer than
# it keeps idle connections open.
config = uvicorn.Config(
    app,
    port=int(os.environ["PORT"]),
    log_level="warning",
    ws_ping_interval=None,
    timeout_keep_alive=3600,
)
Server(config).run()
