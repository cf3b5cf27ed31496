import os, socket, subprocess, sys, threading, time, mmap, resource

op, arg = sys.argv[1], sys.argv[2:]
kept = []


def port():
    return arg[0], int(arg[1])


def work():
    if op == "open":
        open(arg[0]).read()
    elif op == "fill":
        with open(arg[0], "wb", buffering=0) as f:
            while True:
                f.write(b"x" * 65536)
    elif op == "many":
        while True:
            kept.append(open("/dev/null"))
    elif op == "mkdir":
        os.mkdir(arg[0])
    elif op == "chmod":
        os.chmod(arg[0], 0o777)
    elif op == "connect":
        socket.create_connection(port())
    elif op == "dial":
        s = socket.socket()
        s.connect(port())
    elif op == "talk":
        s = socket.create_connection(port())
        s.sendall(b"hello\n")
        s.recv(100)
    elif op == "listen":
        socket.create_server(port())
    elif op == "exec":
        subprocess.run(arg)
    elif op == "big":
        subprocess.run(["/bin/true", "x" * 4000000])
    elif op == "spawn":
        while True:
            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
    elif op == "fork":
        while True:
            subprocess.Popen(["sleep", "3"])
    elif op == "memory":
        while True:
            kept.append(mmap.mmap(-1, 256 << 20))
    elif op == "pipe":
        while True:
            os.write(1, b"x" * 65536)


work()
