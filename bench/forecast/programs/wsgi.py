"""An application that forgets a file with each second request; its server replaces workers in time."""
import random
kept = []


def app(environ, start_response):
    if random.random() < 0.5:
        kept.append(open(__file__))
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]
