package guest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flood sends datagrams to the collector, as many as it wants.
func flood(t *testing.T, n int) {
	c, err := net.Dial("udp", "127.0.0.1:8125")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		fmt.Fprintf(c, "load.%d:%01000d", i, i) // refused ones come back as errors of later ones
	}
}

// heldUDP leaves 3 MiB unread in a socket of this process: the kernel counts the memory of sockets in
// steps of 1 MiB for each CPU.
func heldUDP(t *testing.T) {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 << 10 {
		if _, err := l.WriteTo(make([]byte, 1000), l.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
}

// reader serves connections, and reads all that comes.
func reader(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:8126")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				n, err := io.Copy(io.Discard, c)
				if err == nil {
					fmt.Fprintf(c, "%d", n)
				}
			}()
		}
	}()
}

// holdMemory leaves 2 MiB unread in connections of this process.
func holdMemory(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := make([]byte, 1<<16)
	for n := 0; tcpMemory(t) < 2<<20/os.Getpagesize(); n++ {
		if n == 64 {
			t.Fatalf("%d full connections hold no more than %d pages", n, tcpMemory(t))
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(); in.Close() })
		for err == nil {
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			_, err = c.Write(b)
		}
	}
}

// tcpMemory is the memory of all TCP sockets in pages, as the kernel holds it against tcp_mem: in steps
// of 1 MiB for each CPU.
func tcpMemory(t *testing.T) int {
	b, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if _, mem, ok := strings.Cut(l, " mem "); ok && strings.HasPrefix(l, "TCP: ") {
			n, err := strconv.Atoi(strings.TrimSpace(mem))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no memory of TCP in %s", b)
	return 0
}

// exceeded wants the kernel to refuse a socket memory until the test ends.
func exceeded(t *testing.T) {
	const event = "/sys/kernel/tracing/events/sock/sock_exceed_buf_limit/enable"
	if err := os.WriteFile(event, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b, err := os.ReadFile("/sys/kernel/tracing/trace")
		if n := strings.Count(string(b), "sock_exceed_buf_limit:"); err != nil || n == 0 {
			t.Errorf("no socket was refused memory: this proves nothing: %v", err)
		} else {
			t.Logf("%d times a socket was refused memory:\n%.600s", n, b[bytes.Index(b, []byte("sock_exceed_buf_limit:")):])
		}
		os.WriteFile(event, []byte("0"), 0)
		os.WriteFile("/sys/kernel/tracing/trace", nil, 0)
	})
}

var socketMemory = []trial{
	{name: "udp-mem-python", argv: []string{"python3", "collect.py", "50"}, code: 4, cause: "socket-memory", never: []string{"receive-overflow"}, before: exceeded,
		midway: func(t *testing.T, r *running) {
			heldUDP(t)
			sysctl(t, "net.ipv4.udp_mem", "1 2 4")
			flood(t, 50)
			r.tell(t)
			<-r.ended
		}, store: "socket-memory/positive-real-python-udp"},
	{name: "udp-enough-python", once: true, argv: []string{"python3", "collect.py", "2000"}, code: 4, cause: "receive-overflow", never: []string{"socket-memory"},
		midway: func(t *testing.T, r *running) { flood(t, 2000); r.tell(t) }, store: "socket-memory/near-miss-real-python-own-buffer"},
	{name: "tcp-mem-upload-python", once: true /* on 6.1 an upload limps on, to its end as often as not */, argv: []string{"python3", "upload.py", "8126"}, code: 1, cause: "socket-memory", before: func(t *testing.T) { reader(t); exceeded(t) },
		midway: func(t *testing.T, r *running) {
			holdMemory(t)
			sysctl(t, "net.ipv4.tcp_mem", "1 2 4")
			r.tell(t)
			<-r.ended
		}, store: "socket-memory/positive-real-python-upload"},
}
