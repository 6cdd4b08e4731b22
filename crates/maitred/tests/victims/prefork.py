"""Three children that serve what their parent has opened, as is usual with Python's own servers:
each waits in a selector, and accepts with blocking calls."""

import os
import socketserver


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(f"{os.getpid()}\n".encode())


socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer.request_queue_size = 128
with socketserver.TCPServer(("127.0.0.1", int(os.environ["PORT"])), Handler) as server:
    for _ in range(3):
        if os.fork() == 0:
            server.serve_forever()
    os.wait()
