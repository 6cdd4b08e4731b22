"""The tarball, the wheel and the bill of materials."""

import json
import os
import re
import subprocess
import sys

from .place import TOP, Place


def only(dist, pattern):
    found = list(dist.glob(pattern))
    assert len(found) == 1, (pattern, found)
    return found[0]


def sums(stack, dist):
    del stack
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=dist, check=True)
    named = {line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    there = {it.name for it in dist.iterdir()} - {"SHA256SUMS"}
    assert named == there, named ^ there


def tarball(stack, dist):
    at = Place(stack)
    at.run("tar", "-xzf", only(dist, "*.tar.gz"), "--strip-components=1")
    above = at.demo(at.folder / "bin/maitred")
    assert above[0] == "maitred", above
    version = at.run("bin/maitred", "--version")
    # A version, a commit and the target.
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=TOP, capture_output=True,
                            text=True, check=True).stdout.strip()
    assert commit in version and "x86_64-unknown-linux-gnu" in version, version
    for shell, file in (("bash", "bash-completion/completions/maitred"),):
        at.run(shell, "-n", at.folder / "share" / file)
    for page in (at.folder / "share/man").glob("man*/*"):
        text = page.read_text()
        assert ".TH" in text and ".SH NAME" in text, page


def same_bytes_again(stack, dist):
    """Packed anew at another time, in another folder, all packages are the same."""
    at = Place(stack)
    at.run("tar", "-xzf", only(dist, "*.tar.gz"), "--strip-components=1")
    pages, out = at.folder / "pages", at.folder / "out"
    pages.mkdir()
    out.mkdir()
    for page in (at.folder / "share/man").glob("man*/*"):
        page.rename(pages / page.name)
    commit = re.search(r"\((\S+),", at.run("bin/maitred", "--version")).group(1)
    epoch = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=TOP, capture_output=True, text=True,
                           check=True).stdout.strip()
    subprocess.run([sys.executable, "-m", "pack", at.folder / "bin/maitred", pages, commit, epoch, out],
                   env=os.environ | {"PYTHONPATH": TOP / "packaging"}, check=True, capture_output=True)
    assert (out / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()


def wheel(stack, dist):
    at = Place(stack)
    # Debian's Python has no pip to put into an environment, and its pip can use one from outside.
    at.run(sys.executable, "-m", "venv", "--without-pip", "venv")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", "venv/bin/python"]
    at.run(*pip, "install", "--quiet", "--no-index", only(dist, "*.whl"))
    above = at.demo(at.folder / "venv/bin/maitred", example="python/server.py")
    assert above[0] == "maitred", above
    at.run(*pip, "uninstall", "--yes", "--quiet", "maitred")
    assert not (at.folder / "venv/bin/maitred").exists()


def bill_of_materials(stack, dist):
    """It names what the notices name."""
    del stack
    bill = json.loads(only(dist, "*.cdx.json").read_text())
    named = {f"{it['name']} {it['version']}" for it in bill["components"]}
    notices = (TOP / "THIRD-PARTY.txt").read_text().split("-" * 79)[0].splitlines()
    expected = {line.split(":")[0] for line in notices[1:] if ":" in line}
    assert named == expected, named ^ expected
    assert all(it["hashes"] for it in bill["components"])


TESTS = (sums, tarball, same_bytes_again, wheel, bill_of_materials)
