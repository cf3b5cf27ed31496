// Command gofetch asks a server of its own again and again and never closes a response's body, and
// its client keeps no connection for reuse.
package main

import (
	"log"
	"net"
	"net/http"
)

func main() {
	log.SetFlags(0)
	l, err := net.Listen("tcp", "127.0.0.1:8089")
	if err != nil {
		log.Fatal(err)
	}
	body := make([]byte, 1<<20) // more than a socket's buffer: unread bodies hold their connections
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
	for {
		if err := quote("http://127.0.0.1:8089/"); err != nil {
			log.Fatal("quotes are unavailable")
		}
	}
}

func quote(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 {
		return net.ErrClosed
	}
	return nil
}
