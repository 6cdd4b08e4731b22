"""The image: what it holds, and how it serves where a container engine is at its strictest."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

from .archives import only
from .deb import small_debian
from .place import LIMIT, TOP, Place, free_port, three_at_once


def layer_of(stack, dist):
    """The image's one layer, as a tar; the layout says of each blob what it is."""
    at = Place(stack)
    at.run("tar", "-xf", only(dist, "*-oci.tar"))

    def blob(described):
        data = (at.folder / "blobs/sha256" / described["digest"].removeprefix("sha256:")).read_bytes()
        assert len(data) == described["size"], described
        assert "sha256:" + hashlib.sha256(data).hexdigest() == described["digest"], described
        return data

    index = json.loads((at.folder / "index.json").read_text())
    manifest = json.loads(blob(index["manifests"][0]))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    (at.folder / "layer.tar.gz").write_bytes(blob(layer))
    at.run("gzip", "-d", "layer.tar.gz")
    unpacked = (at.folder / "layer.tar").read_bytes()
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(unpacked).hexdigest()]
    return at.folder / "layer.tar"


def layer_holds_the_executable_alone(stack, dist):
    with tarfile.open(layer_of(stack, dist)) as archive:
        names = archive.getnames()
    assert [it for it in names if not it.startswith("licenses")] == ["maitred"], names


def root_of(stack, dist):
    """The root file system of an image as deploy/container makes them: a small Debian, runtimes, maitred, an app."""
    root = small_debian(stack, "bookworm")
    with tarfile.open(layer_of(stack, dist)) as archive:
        program = root / "usr/local/bin/maitred"
        program.write_bytes(archive.extractfile("maitred").read())
        program.chmod(0o755)
    for file in ("work.mjs", "page.html", "bun-serve/server.ts", "python/server.py"):
        (root / "app" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOP / "examples" / file, root / "app" / file)
    shutil.copy((TOP / "tests/tools/node_modules/.bin/bun").resolve(), root / "usr/local/bin/bun")
    # A temporary folder is its maker's alone.
    root.chmod(0o755)
    return root


def contained(root, *command):
    """What runs a command as process 1 of a container, at its strictest."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount", sys.executable,
            Path(__file__).with_name("container.py"), root, *command]


STRICT = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def refuses(number, *arguments):
    assert libc.syscall(number, *arguments) == -1, number
    return errno.errorcode[ctypes.get_errno()]
found = [refuses(438, 1, 0, 0), refuses(272, 0), refuses(452, -100, 0, 0, 0), refuses(435, 0, 0), refuses(56, 1 << 28),
         refuses(41, 40, 1, 0)]
assert found == ["EPERM", "EPERM", "EPERM", "ENOSYS", "EPERM", "EPERM"], found
assert os.getresuid() == os.getresgid() == (65534,) * 3 and os.getgroups() == [] and os.getpid() == 1
for path in ("/app/more", "/usr/more", "/more"):
    try:
        open(path, "w")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError(path)
print("strict")
"""


def container_is_strict(stack, dist):
    """The container of the next tests refuses what it should."""
    command = contained(root_of(stack, dist), "/usr/bin/python3", "-c", STRICT)
    done = subprocess.run(command, env=os.environ | {"PORT": "0"}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, "strict\n"), done.stdout + done.stderr


def container(name, *arguments):
    """maitred as process 1 of a container that nobody writes to, with the rights of nobody, no capability and a
    filter of system calls: it serves evenly, and ends when the engine says so.
    """
    def test(stack, dist):
        port = free_port()
        running = subprocess.Popen(
            contained(root_of(stack, dist), "/usr/local/bin/maitred", "run", *arguments, "-i", "3"),
            env=os.environ | {"PORT": str(port)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        guard = threading.Timer(LIMIT, running.kill)
        guard.start()
        output = []
        try:
            while sum(" | listening on" in line for line in output) < 3:
                output.append(running.stdout.readline())
                assert output[-1], "".join(output)
            for _ in range(5):
                three_at_once(port)
            first = int(Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text())
            status = Path(f"/proc/{first}/status").read_text()
            for line in ("Uid:\t65534\t65534\t65534\t65534", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1",
                         "Seccomp:\t2"):
                assert line in status, status
            os.kill(first, signal.SIGTERM)
            output.append(running.stdout.read())
            assert running.wait(LIMIT) == 0, "".join(output)
        finally:
            guard.cancel()
            running.kill()
            running.wait()
            running.stdout.close()

    test.__name__ = f"container_of_{name}"
    return test


TESTS = (
    layer_holds_the_executable_alone,
    container_is_strict,
    container("python", "python/server.py"),
    container("python_per_request", "python/server.py", "--per", "request"),
    container("bun", "bun-serve/server.ts"),
    container("bun_per_request", "bun-serve/server.ts", "--per", "request"),
)
