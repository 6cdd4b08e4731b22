from urllib.parse import parse_qs

from who import text


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    query = parse_qs(scope["query_string"].decode())
    body = text(query.get("ms", ["0"])[0])
    length = str(len(body)).encode()
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    await send(head)
    await send({"type": "http.response.body", "body": body})
