"""Two workers that each remove a Unix socket's path before they bind it, in the order that hurts:
the first binds, the second removes what it takes for a leftover, and then they listen. With
"dies", the first ends before it has listened."""

import os
import socket
import sys

PATH, FIRST, SECOND = (os.path.join(sys.argv[1], name) for name in ("app.sock", "first", "second"))


def bind():
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(PATH):
        os.unlink(PATH)
    listener.bind(PATH)
    return listener


def tell(fifo):
    with open(fifo, "w"):
        pass


def hear(fifo):
    with open(fifo) as file:
        file.read()


if os.environ["NODE_APP_INSTANCE"] == "0":
    mine = bind()
    tell(FIRST)
    hear(SECOND)
    if sys.argv[2] == "dies":
        os._exit(3)
else:
    hear(FIRST)
    mine = bind()
    tell(SECOND)
mine.listen(128)
assert mine.getsockname() == PATH
print("report listening", flush=True)
while True:
    client, _ = mine.accept()
    client.sendall(f"{os.getpid()}\n".encode())
    client.close()
