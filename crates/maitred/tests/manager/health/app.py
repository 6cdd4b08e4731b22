# Answers with its PID; as a file says that has its PID in its name, its check fails.
import asyncio, os

async def serve(reader, writer):
    head = await reader.readuntil(b'\r\n\r\n')
    file = f'sick-{os.getpid()}'
    how = open(file).read() if b'/healthz' in head and os.path.exists(file) else ''
    while how == 'hang':
        pass
    if how == 'silent':
        await asyncio.sleep(3600)
    if how != 'close':
        status = b'500 No' if how == '500' else b'200 OK'
        body = str(os.getpid()).encode()
        writer.write(b'HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n' % (status, len(body)) + body)
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(os.environ['PORT']))
    await server.serve_forever()

asyncio.run(main())
