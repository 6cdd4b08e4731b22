import os

from aiohttp import web

from who import who


async def answer(request):
    return web.json_response(who(request.query.get("ms")))


app = web.Application()
app.router.add_get("/who", answer)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
