from urllib.parse import parse_qs

from who import text


def app(environ, start_response):
    body = text(parse_qs(environ["QUERY_STRING"]).get("ms", ["0"])[0])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
