# The other end, by the first argument: "reset" closes with a reset, "close" in good order, "drop" has the packets dropped,
# "reject" has the firewall reset the connection, "slow" says nothing. All but "slow" begin an answer.
import socket, struct, subprocess, sys, time
how = sys.argv[1]
l = socket.create_server(("127.0.0.1", 7200))
print("up", flush=True)
while True:
    c, _ = l.accept()
    asked = c.recv(65536) if len(sys.argv) < 3 else b""
    if how == "slow":
        time.sleep(60)
    if asked.startswith(b"GET"):
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    c.sendall(b"begin\n")
    if how == "silent":
        time.sleep(60)
    time.sleep(0.2)
    if how == "reset":
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
    elif how == "close":
        c.close()
    else:
        rule = ["-j", "DROP"] if how == "drop" else ["-j", "REJECT", "--reject-with", "tcp-reset"]
        subprocess.run(["iptables", "-w", "-A", "INPUT", "-p", "tcp", "--dport", "7200"] + rule, check=True)
        if how == "drop":
            subprocess.run(["iptables", "-w", "-A", "INPUT", "-p", "tcp", "--sport", "7200"] + rule, check=True)
        print("cut", flush=True)
        time.sleep(60)
