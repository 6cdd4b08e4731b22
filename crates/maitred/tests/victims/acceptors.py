"""The ways in which Python waits for connections: acceptors.py WAY."""

import asyncio
import os
import selectors
import socket
import socketserver
import sys

PORT = int(os.environ["PORT"])
ANSWER = f"{os.getpid()}\n".encode()


def listener():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", PORT))
    return sock


def listening():
    print("report listening", flush=True)


async def streams():
    async def answer(_reader, writer):
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", PORT)
    listening()
    await server.serve_forever()


async def sockets():
    """Asks for connections of a socket of its own, registered by hand before it listens."""
    loop = asyncio.get_running_loop()
    sock = listener()
    sock.setblocking(False)
    sock.listen(128)
    listening()
    while True:
        client, _ = await loop.sock_accept(sock)
        await loop.sock_sendall(client, ANSWER)
        client.close()


def by_selector():
    sock = listener()
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    sock.listen(128)
    listening()
    while True:
        selector.select()
        client, _ = sock.accept()
        client.sendall(ANSWER)
        client.close()


def with_timeout():
    """A time limit of Python's own: poll, and an accept that does not block."""
    sock = listener()
    sock.listen(128)
    sock.settimeout(0.05)
    listening()
    while True:
        try:
            client, _ = sock.accept()
        except TimeoutError:
            continue
        assert client.gettimeout() is None and os.get_blocking(client.fileno())
        client.sendall(ANSWER)
        client.close()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(ANSWER)


class ForkingHandler(Handler):
    def handle(self):
        # The parent's number: each visit has a child of its own.
        self.request.sendall(f"{os.getppid()}\n".encode())


def server(kind, handler):
    kind.allow_reuse_address = True
    kind.request_queue_size = 128
    with kind(("127.0.0.1", PORT), handler) as it:
        listening()
        it.serve_forever()


match sys.argv[1]:
    case "asyncio":
        asyncio.run(streams())
    case "sockets":
        asyncio.run(sockets())
    case "selector":
        by_selector()
    case "timeout":
        with_timeout()
    case "threads":
        server(socketserver.ThreadingTCPServer, Handler)
    case "forks":
        server(socketserver.ForkingTCPServer, ForkingHandler)
