// Crowd keeps a changing number of connections to a server, and asks on them now and then: the load
// under which programs are recorded.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	addr  = flag.String("addr", "127.0.0.1:80", "the server")
	conns = flag.String("conns", "10", `connections: "N", "random LOW HIGH EVERY", "wave LOW HIGH PERIOD", "ramp FROM TO SECONDS"`)
	path  = flag.String("path", "/ok", "what is asked for on them")
	think = flag.Float64("think", 2, "mean seconds between two requests on a connection")
	stay  = flag.Float64("stay", 30, "mean seconds that a connection is kept")
	hit   = flag.String("hit", "", `requests beside, each on a connection of its own: "/path RATE [PATTERN]", with commas between; PATTERN is a form of -conns that the rate follows as a share of 100`)
	raw   = flag.String("raw", "", "send this line in place of HTTP, and read one line")
	until = flag.Duration("for", time.Hour, "how long")
	seed  = flag.Int64("seed", 1, "of chance")
)

// number gives the wanted number at a time in seconds.
func number(spec string) func(at float64) float64 {
	f := strings.Fields(spec)
	n := make([]float64, len(f))
	for i := range f {
		n[i], _ = strconv.ParseFloat(f[i], 64)
	}
	r := rand.New(rand.NewSource(*seed))
	switch {
	case len(f) == 1:
		return func(float64) float64 { return n[0] }
	case len(f) == 4 && f[0] == "random":
		next, now := 0.0, n[1]
		return func(at float64) float64 {
			if at >= next {
				next, now = at+n[3]*(0.3+1.4*r.Float64()), n[1]+(n[2]-n[1])*r.Float64()
			}
			return now
		}
	case len(f) == 4 && f[0] == "wave":
		return func(at float64) float64 {
			return (n[1]+n[2])/2 - (n[2]-n[1])/2*math.Cos(2*math.Pi*at/n[3])
		}
	case len(f) == 4 && f[0] == "ramp":
		return func(at float64) float64 { return n[1] + (n[2]-n[1])*min(1, at/n[3]) }
	}
	fmt.Fprintf(os.Stderr, "crowd: %q is no number of connections\n", spec)
	os.Exit(2)
	return nil
}

func ask(c net.Conn, r *bufio.Reader, path string, last bool) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if *raw != "" {
		fmt.Fprintf(c, "%s\r\n", *raw)
		_, err := r.ReadString('\n')
		return err
	}
	keep := "keep-alive"
	if last {
		keep = "close"
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: crowd\r\nConnection: %s\r\n\r\n", path, keep)
	length := int64(0)
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSpace(line)
		if line == "" && !first {
			break
		}
		if v, ok := strings.CutPrefix(strings.ToLower(line), "content-length:"); ok {
			length, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	_, err := io.CopyN(io.Discard, r, length)
	return err
}

func client(ctx context.Context, done func()) {
	defer done()
	c, err := net.DialTimeout("tcp", *addr, 5*time.Second)
	if err != nil {
		time.Sleep(time.Second)
		return
	}
	defer c.Close()
	r := bufio.NewReader(c)
	end := time.Now().Add(time.Duration(rand.ExpFloat64() * *stay * 1e9))
	for ctx.Err() == nil && time.Now().Before(end) {
		if ask(c, r, *path, false) != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rand.ExpFloat64() * *think * 1e9)):
		}
	}
}

func hits(ctx context.Context, spec string) {
	f := strings.Fields(spec)
	rate, _ := strconv.ParseFloat(f[1], 64)
	share := number("100")
	if len(f) > 2 {
		share = number(strings.Join(f[2:], " "))
	}
	start := time.Now()
	for ctx.Err() == nil {
		now := max(0.001, rate*share(time.Since(start).Seconds())/100)
		wait := rand.ExpFloat64() / now
		if wait > 5 { // the rate may be another one then; an exponential has no memory
			time.Sleep(5 * time.Second)
			continue
		}
		time.Sleep(time.Duration(wait * 1e9))
		go func() {
			c, err := net.DialTimeout("tcp", *addr, 5*time.Second)
			if err != nil {
				return
			}
			defer c.Close()
			ask(c, bufio.NewReader(c), f[0], true)
		}()
	}
}

func main() {
	flag.Parse()
	ctx, stop := context.WithTimeout(context.Background(), *until)
	defer stop()
	for spec := range strings.SplitSeq(*hit, ",") {
		if spec != "" {
			go hits(ctx, spec)
		}
	}
	want := number(*conns)
	start := time.Now()
	ended := make(chan struct{}, 1<<16)
	var cancels []context.CancelFunc
	live := 0
	for ctx.Err() == nil {
		for len(ended) > 0 {
			<-ended
			live--
		}
		n := int(want(time.Since(start).Seconds()))
		for i := 0; live < n && i < 200; i++ {
			c, cancel := context.WithCancel(ctx)
			cancels = append(cancels, cancel)
			live++
			go client(c, func() { ended <- struct{}{} })
		}
		for i := 0; i < live-n && len(cancels) > 0; i++ {
			cancels[0]()
			cancels = cancels[1:]
		}
		if len(cancels) > 4*max(n, 100) { // most of the oldest have ended
			for _, c := range cancels[:len(cancels)-2*max(n, 100)] {
				c()
			}
			cancels = cancels[len(cancels)-2*max(n, 100):]
		}
		time.Sleep(200 * time.Millisecond)
	}
}
