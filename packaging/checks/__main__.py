"""python3 -m checks DIST [NAME]: tries the packages of a folder, as users install them; with NAME only
those tests whose name contains it.
"""

import contextlib
import sys
import time
import traceback
from pathlib import Path

from . import archives, deb, image, npm


def main(dist, wanted=""):
    dist = Path(dist).resolve()
    failed = passed = 0
    for test in (*archives.TESTS, *npm.TESTS, *deb.TESTS, *image.TESTS):
        if wanted not in test.__name__:
            continue
        start = time.monotonic()
        try:
            with contextlib.ExitStack() as stack:
                test(stack, dist)
        except Exception:
            failed += 1
            print(f"package {test.__name__} ... FAILED")
            traceback.print_exc()
        else:
            passed += 1
            print(f"package {test.__name__} ... ok ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0 or passed == 0)


sys.exit(main(*sys.argv[1:]))
