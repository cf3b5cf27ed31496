// Gosrv is a few servers in Go, sound and unsound, whose descriptors are recorded.
package main

import (
	"container/list"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

func main() {
	mode, addr := os.Args[1], os.Args[2]
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) {
		f, err := os.Open("/etc/hostname")
		if err == nil {
			defer f.Close()
			io.Copy(w, f)
		}
	})
	switch mode {
	case "backend": // slow at times
		mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Duration(rand.ExpFloat64() * 0.3e9))
			fmt.Fprintln(w, "slow")
		})
		mux.HandleFunc("/fail", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			fmt.Fprintln(w, string(make([]byte, 8<<10)))
		})
		go http.ListenAndServe(os.Args[3], mux)
		http.ListenAndServe(addr, mux)
	case "proxy": // in front of itself, keeps idle connections
		u, _ := url.Parse("http://" + os.Args[3])
		p := httputil.NewSingleHostReverseProxy(u)
		p.Transport = &http.Transport{MaxIdleConns: 200, MaxIdleConnsPerHost: 200, IdleConnTimeout: 30 * time.Second}
		p.ErrorLog = log.New(io.Discard, "", 0)
		http.ListenAndServe(addr, p)
	case "client": // asks another server for each request, and forgets the body where the status is bad
		c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 20}}
		mux.HandleFunc("/ask", func(w http.ResponseWriter, r *http.Request) {
			r2, err := c.Get("http://" + os.Args[3] + r.FormValue("what"))
			if err != nil {
				http.Error(w, err.Error(), 502)
				return
			}
			if r2.StatusCode != 200 {
				http.Error(w, "bad gateway", 502)
				return
			}
			defer r2.Body.Close()
			io.Copy(w, r2.Body)
		})
		http.ListenAndServe(addr, mux)
	case "cache": // keeps the last 700 files open
		dir := os.Args[3]
		for i := range 3000 {
			os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), []byte("x\n"), 0o600)
		}
		var mu sync.Mutex
		order, by := list.New(), map[int]*list.Element{}
		type entry struct {
			n int
			f *os.File
		}
		mux.HandleFunc("/get", func(w http.ResponseWriter, _ *http.Request) {
			n := int(rand.ExpFloat64() * 500)
			mu.Lock()
			defer mu.Unlock()
			if e := by[n]; e != nil {
				order.MoveToFront(e)
				return
			}
			f, err := os.Open(filepath.Join(dir, fmt.Sprint("f", n%3000)))
			if err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			by[n] = order.PushFront(entry{n, f})
			if order.Len() > 700 {
				e := order.Remove(order.Back()).(entry)
				e.f.Close()
				delete(by, e.n)
			}
		})
		http.ListenAndServe(addr, mux)
	case "tcp": // an echo server whose clients vanish without a word: their connections stay
		l, err := net.Listen("tcp", addr)
		if err != nil {
			log.Fatal(err)
		}
		var mu sync.Mutex
		var forgotten []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				time.Sleep(time.Second)
				continue
			}
			go func() {
				b := make([]byte, 512)
				for {
					n, err := c.Read(b)
					if err != nil {
						break
					}
					c.Write(b[:n])
				}
				if rand.Float64() < 0.06 { // an error path without a close
					mu.Lock()
					forgotten = append(forgotten, c)
					mu.Unlock()
					return
				}
				c.Close()
			}()
		}
	}
	log.Fatal("gosrv: unknown mode, or the address is taken: ", mode)
}
