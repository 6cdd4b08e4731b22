"""What every app answers: which worker it is, after so many milliseconds in which it does nothing
else."""

import json
import os
import time


def who(ms):
    time.sleep(int(ms or 0) / 1000)
    return {"instance": os.environ["NODE_APP_INSTANCE"], "pid": os.getpid()}


def text(ms):
    return json.dumps(who(ms)).encode()
