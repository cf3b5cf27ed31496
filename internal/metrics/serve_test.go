package metrics

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// serving is the address of m's server.
func serving(t *testing.T, m *Metrics) string {
	t.Helper()
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func get(t *testing.T, addr, path, accept string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestForms(t *testing.T) {
	addr := serving(t, full())
	for accept, want := range map[string]string{
		"":           textType,
		"*/*":        textType,
		"text/plain": textType,
		"application/openmetrics-text;version=1.0.0": openType,
		// What Prometheus 2.42 and 3.0 send.
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1":                                      openType,
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3": openType,
		"text/plain;q=0.9,application/openmetrics-text;q=0.1": textType,
		"application/openmetrics-text;version=7.0.0":          textType,
		"application/openmetrics-text;q=0":                    textType,
		";;;, ,":                                              textType,
	} {
		code, body, h := get(t, addr, "/metrics", accept)
		if code != 200 || h.Get("Content-Type") != want {
			t.Errorf("Accept %q gives %d, %q, want %q", accept, code, h.Get("Content-Type"), want)
		}
		if open := strings.HasSuffix(body, "# EOF\n"); open != (want == openType) {
			t.Errorf("Accept %q: ends with # EOF: %v", accept, open)
		}
	}
}

func TestHealth(t *testing.T) {
	m, now := made(Config{})
	addr := serving(t, m)
	check := func(path string, want int) {
		t.Helper()
		if code, body, _ := get(t, addr, path, ""); code != want {
			t.Errorf("%s gives %d (%s), want %d", path, code, strings.TrimSpace(body), want)
		}
	}
	check("/healthz", 200) // it starts: loading probes may take its time
	check("/readyz", 503)
	now.Time = now.Add(9 * time.Minute)
	check("/healthz", 200)
	now.Time = now.Add(2 * time.Minute)
	check("/healthz", 503)
	m.Swept(time.Second)
	m.Ready(true)
	check("/healthz", 200)
	check("/readyz", 200)
	now.Time = now.Add(50 * time.Second) // busy is not dead
	check("/healthz", 200)
	now.Time = now.Add(20 * time.Second)
	check("/healthz", 503)
	check("/nothing", 404)
}

// Readers that do not read hold neither the agent nor each other's health checks.
func TestSlowReaders(t *testing.T) {
	defer func(d time.Duration) { writeLimit = d }(writeLimit)
	writeLimit = 10 * time.Minute // whatever else this machine does
	m, _ := made(Config{MaxSeries: 1 << 30})
	for i := range 3000 { // a page larger than what sockets hold
		c := web(fmt.Sprint(i))
		c.Pod = fmt.Sprint("web-", i)
		m.Set(c)
	}
	addr := serving(t, m)
	for range maxScrapes {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 64)); err != nil { // it is being served, and then not read
			t.Fatal(err)
		}
	}
	if code, _, _ := get(t, addr, "/metrics", ""); code != 503 {
		t.Errorf("the ninth scrape at once gives %d, want 503", code)
	}
	if code, _, _ := get(t, addr, "/healthz", ""); code != 200 {
		t.Errorf("/healthz gives %d while readers are slow", code)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Set(web("0"))
		m.Swept(time.Millisecond)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("the agent waits for its readers")
	}
}

// What nobody should connect to that often is closed, and there is room again when the others have gone.
func TestConnectionsAreBounded(t *testing.T) {
	m, _ := made(Config{})
	addr := serving(t, m)
	var all []net.Conn
	for range maxConns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	one, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	_ = one.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := one.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("a connection too many: %v, want it closed", err)
	}
	for _, c := range all {
		c.Close()
	}
	for range 1000 {
		resp, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("there is no room after all have gone")
}

func TestAddressTaken(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("the error does not name the address: %v", err)
	}
}
