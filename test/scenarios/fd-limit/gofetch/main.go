// Command gofetch asks a server again and again and never closes a response's body, so that no
// connection is given back.
package main

import (
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 {
		serve()
	}
	runtime.LockOSThread() // Pdeathsig is sent when the starting thread ends
	upstream := exec.Command("/proc/self/exe", "serve")
	upstream.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ready, err := upstream.StdoutPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := upstream.Start(); err != nil {
		log.Fatal(err)
	}
	ready.Read(make([]byte, 1))
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 80, Max: 80}) // this process's alone
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

func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:8089")
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write([]byte("."))
	body := make([]byte, 8<<20) // more than a socket's buffer: an unread body holds its connection
	log.Fatal(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) })))
}
