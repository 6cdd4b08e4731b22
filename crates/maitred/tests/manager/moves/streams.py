"""A server over asyncio's streams. Without any signal handler."""

import asyncio
import os

kept = []


async def body(reader, head):
    if b"Transfer-Encoding" in head:
        got = b""
        while size := int(await reader.readline(), 16):
            got += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return got
    length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
    return await reader.readexactly(int(length[0]) if length else 0)


async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return writer.close()
        if b"Expect" in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        got = await body(reader, head)
        if b" /grow " in head:
            # Piece by piece, so that the loop goes on.
            for _ in range(45):
                kept.append(b"1" * (10 << 20))
                await asyncio.sleep(0)
        if b" /slow " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(10):
                writer.write(b"a\r\n0123456789\r\n")
                await writer.drain()
                await asyncio.sleep(0.15)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got) + got)
        await writer.drain()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    print("up", flush=True)
    await server.serve_forever()


asyncio.run(main())
