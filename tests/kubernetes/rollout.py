"""Replaces a pod by another one, as a Deployment does, behind HAProxy in the place of a Service."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

APP = """
const { createServer } = require("node:http");
createServer((request, response) => {
  setTimeout(() => response.end(process.env.POD), request.url === "/slow" ? 2000 : 5);
}).listen(process.env.PORT);
"""

HAPROXY = """
global
    stats socket {folder}/haproxy.sock level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 0
frontend service
    bind 127.0.0.1:{port}
    default_backend pods
backend pods
    server one 127.0.0.1:{one} disabled
    server two 127.0.0.1:{two} disabled
"""

CLIENTS = 6
# A machine that is busy has this long for a step.
PATIENCE = 120


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Pod:
    """A container with the command, the variables, the probes and the end that its manifest says. Two of them share
    this machine's network, so their ports are other ones."""

    def __init__(self, maitred, spec, name, folder):
        self.spec, container = spec, spec["containers"][0]
        ports = {it["name"]: it["containerPort"] for it in container["ports"]}
        self.ports = {name: free_port() for name in ports}
        env = {it["name"]: it["value"] for it in container["env"]}
        assert env["PORT"] == str(ports["http"])
        env |= {"PORT": str(self.ports["http"]), "POD": name, "PATH": os.environ["PATH"]}
        args = [it.replace(f"0.0.0.0:{ports['metrics']}", f"127.0.0.1:{self.ports['metrics']}")
                for it in container["args"]]
        assert container["command"][0] == "maitred"
        self.container = container
        self.process = subprocess.Popen(
            [maitred, *container["command"][1:], *args], cwd=folder, env=env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def probe(self, kind):
        get = self.container[kind]["httpGet"]
        try:
            url = f"http://127.0.0.1:{self.ports[get['port']]}{get['path']}"
            return urllib.request.urlopen(url, timeout=5).status == 200
        except OSError:
            return False

    def becomes_ready(self):
        end = time.monotonic() + PATIENCE
        while not (self.probe("startupProbe") and self.probe("readinessProbe") and self.probe("livenessProbe")):
            assert self.process.poll() is None, "the pod ended"
            assert time.monotonic() < end, "the pod is not ready"
            time.sleep(0.2)

    def ends(self, leaves_the_service):
        """The end of a pod: the hook and the endpoints' change begin at once, then SIGTERM, then the grace period."""
        began = time.monotonic()
        # Nodes hear of it after a while.
        threading.Timer(2, leaves_the_service).start()
        time.sleep(self.container["lifecycle"]["preStop"]["sleep"]["seconds"])
        self.process.send_signal(signal.SIGTERM)
        left = self.spec["terminationGracePeriodSeconds"] - (time.monotonic() - began)
        code = self.process.wait(left)
        assert code == 0, f"the pod ended with {code}"


class Clients:
    """Clients that never retry: some with a new connection for each request, some that keep theirs."""

    def __init__(self, port):
        self.port, self.stop = port, threading.Event()
        self.answers, self.lost = [], []
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(CLIENTS)]
        for it in self.threads:
            it.start()

    def ask(self, number):
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None or number % 2:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.request("GET", "/slow" if number == 0 else "/")
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status != 200:
                    raise OSError(f"{answer.status} {body!r}")
                self.answers.append(body)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection = None
            time.sleep(0.01)

    def end(self):
        self.stop.set()
        for it in self.threads:
            it.join()


def roll_out(maitred, spec):
    """The requests that a roll-out loses."""
    with tempfile.TemporaryDirectory(prefix="maitred-rollout-") as folder:
        folder = Path(folder)
        (folder / "server.js").write_text(APP)
        running = []
        try:
            def pod(name):
                it = Pod(maitred, spec, name, folder)
                running.append(it.process)
                return it
            one, two = pod("one"), None
            one.becomes_ready()
            two = pod("two")
            port = free_port()
            config = HAPROXY.format(folder=folder, port=port, one=one.ports["http"], two=two.ports["http"])
            (folder / "haproxy.cfg").write_text(config)
            haproxy = subprocess.Popen(["haproxy", "-db", "-f", folder / "haproxy.cfg"], stderr=subprocess.DEVNULL)
            running.append(haproxy)

            def tell(words):
                with socket.socket(socket.AF_UNIX) as to:
                    to.connect(str(folder / "haproxy.sock"))
                    to.sendall(f"{words}\n".encode())
                    said = to.makefile().read().strip()
                    assert not said, said
            end = time.monotonic() + PATIENCE
            while not (folder / "haproxy.sock").exists():
                assert haproxy.poll() is None and time.monotonic() < end, "HAProxy does not run"
                time.sleep(0.1)
            tell("set server pods/one state ready")
            clients = Clients(port)
            two.becomes_ready()
            tell("set server pods/two state ready")
            one.ends(lambda: tell("set server pods/one state maint"))
            after = len(clients.answers)
            while len(clients.answers) < after + 50:
                assert two.process.poll() is None and time.monotonic() < end + PATIENCE, "too few answers"
                time.sleep(0.1)
            clients.end()
            served = {it: clients.answers.count(it) for it in ("one", "two")}
            assert all(served.values()), served
            print(f"  answered by pod: {served}")
            return clients.lost
        finally:
            for it in running:
                if it.poll() is None:
                    it.send_signal(signal.SIGTERM)
                    it.wait(PATIENCE)
