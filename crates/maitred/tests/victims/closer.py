"""Opens and closes listeners, and tells what it does.

    closer.py close | fork | vfork
"""

import os
import socket
import subprocess
import sys

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
if sys.argv[1] == "fork":
    # A child closes its copy, as one does that serves a single connection.
    if os.fork() == 0:
        listener.close()
        os._exit(0)
    os.wait()
if sys.argv[1] == "vfork":
    # The child closes what it is not to have; until it is another program, it shares its
    # parent's memory.
    subprocess.run(["true"], close_fds=True, check=True)
assert listener.getsockname()[1] == int(os.environ["PORT"])
client, _ = listener.accept()
client.sendall(f"{os.getpid()}\n".encode())
client.close()
listener.close()
print("report closed", flush=True)
sys.stdin.read()
