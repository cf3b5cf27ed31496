package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of the server. A reader that is slow costs a buffer for as long as writeLimit, and nobody else anything.
const (
	readLimit  = 5 * time.Second
	idleLimit  = 2 * time.Minute
	maxConns   = 256
	maxScrapes = 8 // at once
	maxHeader  = 16 << 10
)

var writeLimit = 10 * time.Second // a scrape's time limit is 10 s by default; longer in a test

const (
	textType = "text/plain; version=0.0.4; charset=utf-8"
	openType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
)

// Listen opens the address that Serve serves: "host:port", ":port".
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for scrapes of metrics: %w", err)
	}
	return &limited{Listener: l, room: make(chan struct{}, maxConns)}, nil
}

// Serve answers scrapes and health checks on l until ctx ends.
func (m *Metrics) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: m.Handler(), ReadHeaderTimeout: readLimit, ReadTimeout: readLimit, WriteTimeout: writeLimit, IdleTimeout: idleLimit,
		MaxHeaderBytes: maxHeader, ErrorLog: nil, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics on %s: %w", l.Addr(), err)
	}
	return nil
}

// Handler answers /metrics, /healthz (the agent's loop turns) and /readyz (the probes are attached).
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	pages := &pages{room: make(chan struct{}, maxScrapes)}
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { pages.serve(m, w, r) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		ok, late := m.turning()
		say(w, ok, "the loop last turned "+late.Round(time.Millisecond).String()+" ago")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if m.isReady() {
			say(w, true, "watching")
		} else {
			say(w, false, "the probes are not attached yet")
		}
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "descry agent: /metrics /healthz /readyz\n")
	})
	return mux
}

func say(w http.ResponseWriter, ok bool, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, text+"\n")
}

// pages gives scrapes their buffers, and bounds how many there are at once.
type pages struct {
	room chan struct{}
	free sync.Pool // *[]byte
}

func (ps *pages) serve(m *Metrics, w http.ResponseWriter, r *http.Request) {
	select {
	case ps.room <- struct{}{}:
		defer func() { <-ps.room }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
		return
	}
	buf, _ := ps.free.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer ps.free.Put(buf)
	h := w.Header()
	open := wantsOpenMetrics(r.Header.Values("Accept"))
	*buf = m.Render((*buf)[:0], open)
	h.Set("Content-Type", textType)
	if open {
		h.Set("Content-Type", openType)
	}
	h.Set("Vary", "Accept")
	h.Set("Content-Length", strconv.Itoa(len(*buf)))
	_, _ = w.Write(*buf) // a reader that went away is no error of ours
}

// wantsOpenMetrics reads an Accept header: whether OpenMetrics 1.0 is wanted at least as much as plain text.
func wantsOpenMetrics(accept []string) bool {
	open, text := 0.0, -1.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				continue
			}
		}
		switch kind {
		case "application/openmetrics-text":
			if v := params["version"]; v == "" || v == "1.0.0" || v == "0.0.1" {
				open = max(open, q)
			}
		case "text/plain", "text/*":
			text = max(text, q)
		}
	}
	return open > 0 && open >= text
}

// limited is a listener that closes what comes when there are too many connections.
type limited struct {
	net.Listener
	room chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &conn{Conn: c, leave: func() { <-l.room }}, nil
		default:
			_ = c.Close()
		}
	}
}

type conn struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *conn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
