"""The deb: what lintian says of it, and its life in small Debian systems of two ages."""

import contextlib
import os
import shutil
import subprocess

from .archives import only
from .place import LIMIT, TOP, Place, free_port, three_at_once

ROOTS = TOP / "target/packages"
FILES = ("find / -xdev -path /proc -prune -o -path /root -prune -o -path /var/cache -prune "
         "-o -path /var/lib/dpkg -prune -o -print | sort")
# The user stays, as Debian has it, and with it the backups of the files that name it.
STAYS = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
         "/var/log", "/tmp", "/run")


def lintian(stack, dist):
    del stack
    done = subprocess.run(["lintian", "--fail-on", "error", only(dist, "*.deb")], capture_output=True,
                          text=True, timeout=600)
    print(done.stdout, end="")
    assert done.returncode == 0, done.stdout + done.stderr


def unit(stack, dist):
    """What systemd says of the unit, the pages that it names, and what Prometheus and Grafana read."""
    at = Place(stack)
    at.run("dpkg-deb", "--extract", only(dist, "*.deb"), "root")
    text = (at.folder / "root/usr/lib/systemd/system/maitred@.service").read_text()
    file = at.folder / "maitred@.service"
    file.write_text(text.replace("/usr/bin/maitred", str(at.folder / "root/usr/bin/maitred")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", at.folder / "maitred@api.service"],
                          capture_output=True, text=True, timeout=60,
                          env=os.environ | {"SYSTEMD_UNIT_PATH": f"{at.folder}:"})
    ours = [line for line in done.stderr.splitlines() if "maitred@" in line]
    assert done.returncode == 0 and not ours, done.stderr
    for page in ("man1/maitred.1.gz", "man5/maitred-config.5.gz"):
        assert (at.folder / "root/usr/share/man" / page).exists(), page
    for name in ("alerts.yaml", "grafana.json"):
        packed = (at.folder / "root/usr/share/maitred" / name).read_bytes()
        assert packed == (TOP / "deploy/observability" / name).read_bytes(), name


def small_debian(stack, release):
    """The folder of a small Debian, from a tar that is made once."""
    tar = ROOTS / f"{release}.tar"
    if not tar.exists():
        ROOTS.mkdir(parents=True, exist_ok=True)
        made = tar.with_name(f"{release}.new.tar")
        # What dpkg says stands in the output of a run that is not quiet.
        done = subprocess.run(["mmdebstrap", "--variant=essential", "--include=adduser,python3", release, made],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
        free = shutil.disk_usage(made.parent).free // 2**20
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{free} MiB are free in {made.parent}"
        made.rename(tar)
    folder = Place(stack).folder
    subprocess.run(["tar", "-xf", tar, "-C", folder], check=True)
    return folder


class Root:
    """A small Debian that runs."""

    def __init__(self, stack, release):
        self.folder = small_debian(stack, release)
        # This process is process 1 of the system, and its end is the end of all that runs in it.
        self.shell = subprocess.Popen(
            ["unshare", "--fork", "--pid", "--kill-child", "--mount", f"--mount-proc={self.folder}/proc",
             "chroot", self.folder, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
             "sh"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        stack.callback(self.close)

    def run(self, script):
        """Runs commands, all of which succeed; what they print."""
        mark = "-- end of the commands:"
        self.shell.stdin.write(f"(set -e\n{script}\n) </dev/null; code=$?; echo; echo '{mark}' $code\n")
        self.shell.stdin.flush()
        lines = []
        for line in self.shell.stdout:
            if line.startswith(mark):
                assert line.split()[-1] == "0", f"{script}:\n{''.join(lines)}"
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"the system has ended:\n{''.join(lines)}")

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.shell.stdin.close()
        try:
            self.shell.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.shell.kill()
            self.shell.wait()


def life(release):
    def test(stack, dist):
        root = Root(stack, release)
        shutil.copy(only(dist, "*.deb"), root.folder / "root/maitred.deb")
        shutil.copytree(TOP / "examples/python", root.folder / "srv/examples/python")
        shutil.copy(TOP / "examples/page.html", root.folder / "srv/examples/page.html")
        before = root.run(FILES)
        root.run("dpkg --install /root/maitred.deb\ndpkg --verify maitred\ngetent passwd maitred")
        # The ports are this machine's: the system has no network of its own.
        port = free_port()
        root.run(f"PORT={port} maitred start /srv/examples/python/server.py --name api -i 3")
        three_at_once(port)
        root.run("maitred reload api")
        three_at_once(port)
        root.run("maitred stop api\nmaitred start api")
        three_at_once(port)
        root.run("maitred delete api\nmaitred kill")
        root.run("dpkg --remove maitred\n! command -v maitred\ntest -e /etc/maitred/example.config.json")
        root.run("dpkg --purge maitred\nrm -rf /root/.maitred")
        after = root.run(FILES)
        more = {it for it in set(after.split()) - set(before.split()) if not it.startswith(STAYS)}
        assert not more, more

    test.__name__ = f"deb_in_{release}"
    return test


TESTS = (lintian, unit, life("bullseye"), life("bookworm"))
