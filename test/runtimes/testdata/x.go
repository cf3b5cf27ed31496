package main

import (
	"log"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

var kept []any

func must(err error) {
	if err == nil {
		return
	}
	if os.Getenv("SAY") == "log" {
		log.Fatal(err)
	}
	panic(err)
}

func main() {
	op, arg := os.Args[1], os.Args[2:]
	switch op {
	case "open":
		f, err := os.Open(arg[0])
		must(err)
		_, err = f.Read(make([]byte, 100))
		must(err)
	case "fill":
		f, err := os.Create(arg[0])
		must(err)
		for {
			_, err := f.Write(make([]byte, 65536))
			must(err)
		}
	case "many":
		for {
			f, err := os.Open("/dev/null")
			must(err)
			kept = append(kept, f)
		}
	case "mkdir":
		must(os.Mkdir(arg[0], 0o755))
	case "chmod":
		must(os.Chmod(arg[0], 0o777))
	case "connect", "dial":
		_, err := net.Dial("tcp", net.JoinHostPort(arg[0], arg[1]))
		must(err)
	case "talk":
		c, err := net.Dial("tcp", net.JoinHostPort(arg[0], arg[1]))
		must(err)
		c.Write([]byte("hello\n"))
		_, err = c.Read(make([]byte, 100))
		must(err)
	case "listen":
		_, err := net.Listen("tcp", net.JoinHostPort(arg[0], arg[1]))
		must(err)
	case "exec":
		must(exec.Command(arg[0], arg[1:]...).Run())
	case "big":
		must(exec.Command("/bin/true", strings.Repeat("x", 4000000)).Run())
	case "spawn":
		for range 20 {
			go func() { syscall.Select(0, nil, nil, nil, &syscall.Timeval{Sec: 3}) }()
		}
		time.Sleep(3 * time.Second)
	case "fork":
		for {
			must(exec.Command("sleep", "3").Start())
		}
	case "memory":
		for {
			b, err := syscall.Mmap(-1, 0, 256<<20, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			must(os.NewSyscallError("mmap", err))
			kept = append(kept, b)
		}
	case "alloc":
		for {
			kept = append(kept, make([]byte, 256<<20))
		}
	case "pipe":
		f := os.NewFile(3, "backend")
		for {
			_, err := f.Write(make([]byte, 65536))
			must(err)
		}
	}
}
