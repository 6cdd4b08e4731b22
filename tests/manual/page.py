"""Runs one page, within a network and a process space of its own."""

import fcntl
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

from .blocks import COMMANDS, Wrong, blocks, pattern

# For a machine that is busy; a command that hangs is what they are for.
COMMAND_LIMIT = 60

# Commands after which instances begin to listen. They return before that, if one sleeps before it listens, or takes
# longer than three seconds.
STARTS = ("maitred start", "maitred reload", "maitred restart", "maitred scale")


def loopback_up():
    """Switches the loopback interface on: a new network has it switched off."""
    set_flags, up = 0x8914, 1
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", up))


class Running:
    """A command and what it has written so far."""

    def __init__(self, command, cwd, env):
        self.text = ""
        self.process = subprocess.Popen(
            ["bash", "-c", command], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.news = threading.Condition()
        self.ended = False
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while data := os.read(self.process.stdout.fileno(), 1 << 16):
            with self.news:
                self.text += data.decode(errors="replace")
                self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def wait_for(self, done, limit=COMMAND_LIMIT):
        """Waits until `done()`, or until there is no more output."""
        end = time.monotonic() + limit
        with self.news:
            while not done() and not self.ended:
                if not self.news.wait(end - time.monotonic()):
                    raise Wrong(f"nothing more within {limit} s; it has shown:\n{self.text}")

    def code(self):
        """The command's exit code. Its output may be open still: in what it left in the background."""
        try:
            return self.process.wait(COMMAND_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise Wrong(f"did not end within {COMMAND_LIMIT} s; it has shown:\n{self.text}") from None


class Page:
    def __init__(self, folder, env):
        self.folder, self.env = Path(folder), env
        self.ran, self.left_out = 0, []
        self.state = self.folder.parent / "state-of-the-shell"

    def before(self):
        """Takes up folder and variables where the command before left them, as one shell does."""
        return f"[ ! -e {self.state} ] || . {self.state}"

    def run(self, text):
        for block in blocks(text):
            if block.needs:
                self.left_out += [block.needs] * max(1, len(block.steps()) if block.language in COMMANDS else 1)
            elif block.file:
                path = self.folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("\n".join(block.text) + "\n")
            elif block.language in COMMANDS:
                self.commands(block)

    def settles(self):
        """Waits, as a reader does who types, until all instances with shared sockets listen."""
        end = time.monotonic() + COMMAND_LIMIT
        while time.monotonic() < end:
            shown = subprocess.run(["maitred", "ls"], cwd=self.folder, env=self.env, capture_output=True, text=True)
            rows = [line.split() for line in shown.stdout.splitlines()]
            if not any("cluster" in row and row[-2:] == ["-", "-"] for row in rows):
                return
            time.sleep(0.2)
        raise Wrong(f"not all instances listen within {COMMAND_LIMIT} s:\n{shown.stdout}")

    def commands(self, block):
        steps = block.steps()
        for step in steps:
            last = step is steps[-1]
            try:
                if last and "stays" in block.words:
                    self.stays(step)
                else:
                    self.command(step, int(block.words.get("exits", 0)) if last else 0)
            except Wrong as wrong:
                raise Wrong(f"line {step.line}: $ {step.command}\n{wrong}") from None
            self.ran += 1

    def command(self, step, code):
        running = Running(
            f"{self.before()}\ntrap 'code=$?; {{ export -p; echo cd \"$PWD\"; }} >{self.state}; exit $code' EXIT\n"
            f"set -eo pipefail\n{step.command}",
            self.folder, self.env)
        ended = running.code()
        wanted = pattern(step.shows)
        if step.shows:
            # What the command wrote is in the pipe when it has ended.
            running.wait_for(lambda: wanted.fullmatch(running.text), limit=5)
        if ended != code:
            raise Wrong(f"ended with {ended}, not {code}:\n{running.text}")
        if step.shows and not wanted.fullmatch(running.text):
            raise Wrong(f"does not show this, but:\n{running.text}")
        if code == 0 and any(it in step.command for it in STARTS):
            self.settles()

    def stays(self, step):
        """A command that stays in the foreground; it is a reader's second terminal."""
        interrupted = step.shows[-1:] == ["^C"]
        wanted = pattern(step.shows[:-1] if interrupted else step.shows)
        running = Running(f"{self.before()}\nexec {step.command}", self.folder, self.env)
        running.wait_for(lambda: wanted.match(running.text))
        if not wanted.match(running.text):
            raise Wrong(f"ended, and does not show this, but:\n{running.text}")
        if interrupted:
            os.killpg(running.process.pid, signal.SIGINT)
            if code := running.code():
                raise Wrong(f"ended with {code} after Ctrl-C:\n{running.text}")
