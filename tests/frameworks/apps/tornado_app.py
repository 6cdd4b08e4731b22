import asyncio
import os
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application, RequestHandler

from who import who


class Who(RequestHandler):
    def get(self):
        self.write(who(self.get_argument("ms", "0")))


async def serve(sockets):
    HTTPServer(Application([("/who", Who)])).add_sockets(sockets)
    await asyncio.Event().wait()


sockets = bind_sockets(int(os.environ["PORT"]), "127.0.0.1")
if "fork" in sys.argv:
    fork_processes(3)
asyncio.run(serve(sockets))
