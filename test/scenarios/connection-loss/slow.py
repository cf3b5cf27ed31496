import urllib.request
urllib.request.urlopen("http://127.0.0.1:7200/", timeout=1).read()
