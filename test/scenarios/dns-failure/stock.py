"""Fetches the stock list of a partner; without it there is nothing to do."""
import sys
import urllib.request

host = sys.argv[1]
print("fetching stock", flush=True)
with urllib.request.urlopen(f"http://{host}:8080/stock.csv", timeout=20) as r:
    print(r.read(200))
