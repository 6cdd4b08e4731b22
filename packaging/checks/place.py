"""What the tests of packages share: folders, programs run with a limit, and the three-request demo."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
LIMIT = 120


def without_rust(path):
    """A PATH without the folders in which cargo or rustc is."""
    folders = [it for it in path.split(":") if it]
    return ":".join(it for it in folders if not any((Path(it) / rust).exists() for rust in ("cargo", "rustc")))


class Place:
    """A folder for one test, which is the home folder of what runs in it."""

    def __init__(self, stack, path=os.environ["PATH"]):
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maitred-package-")))
        self.env = {
            "PATH": without_rust(path),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        }

    def run(self, *command, **more):
        """Runs a command to its end; what it printed."""
        done = subprocess.run(
            [str(it) for it in command], cwd=more.pop("cwd", self.folder), env=self.env | more.pop("env", {}),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT * 2, **more)
        if done.returncode != 0:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def demo(self, *command, example="node-http/server.mjs", ends_with=0, cwd=None):
        """Runs the demo with three workers in the foreground: three requests at the same time are
        answered by three workers, and Ctrl-C ends it all. What stood between us and maitred when
        it ran: its processes, from ours down to it.
        """
        port = free_port()
        script = TOP / "examples" / example
        running = subprocess.Popen(
            [str(it) for it in command] + ["run", str(script), "-i", "3"],
            cwd=cwd or self.folder, env=self.env | {"PORT": str(port)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        guard = threading.Timer(LIMIT, kill_group, [running])
        guard.start()
        output = []
        try:
            listening = 0
            while listening < 3:
                line = running.stdout.readline()
                if not line:
                    raise AssertionError(f"{command} ended before three workers listened:\n{''.join(output)}")
                output.append(line)
                listening += " | listening on" in line
            three_at_once(port)
            above = ancestors_of_workers(running.pid)
            # A terminal's Ctrl-C goes to the package manager too, where that is still there.
            os.killpg(running.pid, signal.SIGINT)
            output.append(running.stdout.read())
            code = running.wait(LIMIT)
            if ends_with is not None and code != ends_with:
                raise AssertionError(f"{command} ended with {code}, not {ends_with}:\n{''.join(output)}")
            return above
        finally:
            guard.cancel()
            kill_group(running)
            running.wait()
            running.stdout.close()


def kill_group(running):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def three_at_once(port):
    """Asks three times at the same time: three workers answer."""
    answers = []

    def ask():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api?ms=500", timeout=LIMIT) as answer:
            answers.append(json.load(answer)["pid"])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(set(answers)) != 3:
        raise AssertionError(f"three requests at once were answered by the processes {answers}")


def ancestors_of_workers(root):
    """The names of `root` and of what runs below it, as far as it has one child."""
    names = []
    while root:
        names.append(Path(f"/proc/{root}/comm").read_text().strip())
        children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
        root = int(children[0]) if len(children) == 1 else None
    return names
