import os
import sys

from sanic import Sanic
from sanic.response import json

from who import who

app = Sanic("app")
app.config.USE_UVLOOP = False


@app.get("/who")
async def answer(request):
    return json(who(request.args.get("ms")))


if __name__ == "__main__":
    single = "single" in sys.argv
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), motd=False, single_process=single)
