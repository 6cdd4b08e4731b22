"""A single-threaded HTTP server from Python's standard library: one request at a time."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer
from urllib.parse import parse_qs, urlsplit

PORT = int(os.environ.get("PORT", "5555"))
PAGE = (Path(__file__).parent.parent / "page.html").read_bytes()


def work(query):
    """Works for ?ms= milliseconds of wall-clock time, and tells who did it."""
    ms = float(query.get("ms", ["1000"])[0])
    if query.get("how") == ["sleep"]:
        time.sleep(ms / 1000)
    else:
        end = time.monotonic() + ms / 1000
        while time.monotonic() < end:
            pass
    return {"instance": os.environ.get("NODE_APP_INSTANCE", "0"), "pid": os.getpid(), "ms": ms}


class Handler(BaseHTTPRequestHandler):
    # Browsers open connections ahead of need, and this server reads one connection at a time:
    # it must not wait on a silent one for long.
    timeout = 1

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/api":
            self.answer(200, "application/json", json.dumps(work(parse_qs(url.query))).encode())
        elif url.path == "/":
            self.answer(200, "text/html; charset=utf-8", PAGE)
        else:
            self.answer(404, "text/plain", b"not found\n")

    def answer(self, status, content_type, body):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(TCPServer):
    allow_reuse_address = True
    request_queue_size = 128


with Server(("", PORT), Handler) as server:
    print(f"listening on port {PORT}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
