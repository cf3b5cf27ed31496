"""A supervisor logs what its children logged, in lines of the same form, and dies of its own error."""
import datetime
import sys


def line(level, text):
    return "%s %s %s" % (datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3], level, text)


for i in range(3000):
    if i % 40 == 7:
        print(line("WARNING", "worker said: " + line("INFO", "cache is cold") + "\n  at load (cache.py:%d)" % i))
    elif i % 100 == 50:
        print(line("ERROR", 'restarted, last line was "%s"' % line("ERROR", "no route to host")))
    else:
        print(line("INFO", "checked worker %d, all is well" % (i % 7)))
sys.exit(3)
