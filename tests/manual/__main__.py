"""python3 -m manual MAITRED [PAGE]: runs the commands of the manual's pages."""

import collections
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .blocks import Wrong
from .page import Page, loopback_up
from .reasons import REASONS

TOP = Path(__file__).resolve().parent.parent.parent
PAGE_LIMIT = 300
SIDE_BY_SIDE = 2


def environment(maitred, folder):
    tests = TOP / "tests"
    path = [folder / "bin", tests / "tools/node_modules/.bin", tests / "manual/python/bin",
            os.environ["PATH"], "/usr/sbin", "/sbin"]
    (folder / "bin").mkdir()
    (folder / "bin/maitred").symlink_to(maitred)
    return {
        "PATH": ":".join(map(str, path)),
        "PYTHONPATH": str(tests / "manual/python"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "REPOSITORY": str(TOP),
    }


def within(maitred, page):
    """Runs a page; this process is the first of a process space."""
    if os.getpid() != 1:
        sys.exit("error: only the first process of a process space may end all others")
    loopback_up()
    with tempfile.TemporaryDirectory(prefix="maitred-manual-", ignore_cleanup_errors=True) as folder:
        folder = Path(folder)
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        it = Page(folder / "home", environment(maitred, folder))
        try:
            it.run((TOP / "docs" / page).read_text())
        except Wrong as wrong:
            print(f"{page}, {wrong}")
            return 1
        finally:
            # As process 1 of this space: all that the page has left.
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, 9)
    print("result", it.ran, *it.left_out)
    return 0


def outside(maitred, page):
    """Runs a page in a new network and process space, which end with it."""
    spaces = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        spaces += ["--map-current-user", "--keep-caps"]
    start = time.monotonic()
    done = subprocess.run(
        [*spaces, sys.executable, "-m", "manual", "--within", maitred, page], cwd=TOP / "tests",
        capture_output=True, text=True, timeout=PAGE_LIMIT)
    took = time.monotonic() - start
    result = re.search(r"^result (\d+)(.*)$", done.stdout, re.M)
    if done.returncode or not result:
        print(f"manual {page} ... FAILED\n{done.stdout}{done.stderr}", flush=True)
        return None
    ran, left_out = int(result[1]), result[2].split()
    more = f", {len(left_out)} not" if left_out else ""
    print(f"manual {page} ... ok ({ran} commands run{more}; {took:.1f} s)", flush=True)
    return ran, left_out


def main(maitred, wanted=""):
    maitred = Path(maitred).resolve(strict=True)
    summary = (TOP / "docs/SUMMARY.md").read_text()
    pages = [it for it in re.findall(r"\]\(([^)#]+\.md)\)", summary) if wanted in it and not it.startswith("..")]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = list(pool.map(lambda page: outside(maitred, page), pages))
    failed = results.count(None)
    ran = sum(it[0] for it in results if it)
    left_out = collections.Counter(why for it in results if it for why in it[1])
    print(f"{ran} commands run, {sum(left_out.values())} not:")
    for why, count in sorted(left_out.items()):
        print(f"  {count:3} {why}: {REASONS[why]}")
    print(f"{len(pages) - failed} pages passed, {failed} failed")
    return int(failed > 0 or ran == 0)


if __name__ == "__main__":
    if sys.argv[1] == "--within":
        sys.exit(within(*sys.argv[2:]))
    sys.exit(main(*sys.argv[1:]))
