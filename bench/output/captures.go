package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

//go:embed grpc.py
var grpcScript []byte

// recorder is a relay on loopback that keeps what goes through, by connection and direction.
type recorder struct {
	net.Listener
	mu  sync.Mutex
	all []*bytes.Buffer
}

func record(backend string) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{Listener: l}
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", backend)
			if err != nil {
				a.Close()
				continue
			}
			go r.pass(b, a)
			go r.pass(a, b)
		}
	}()
	return r, nil
}

func (r *recorder) pass(to, from net.Conn) {
	kept := new(bytes.Buffer)
	r.mu.Lock()
	r.all = append(r.all, kept)
	r.mu.Unlock()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		kept.Write(buf[:n])
		r.mu.Unlock()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			to.Close()
			return
		}
	}
}

func (r *recorder) port() string { return portOf(r.Addr()) }

func portOf(a net.Addr) string { return fmt.Sprint(a.(*net.TCPAddr).Port) }

func freePort() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "0"
	}
	defer l.Close()
	return portOf(l.Addr())
}

// captured gives the directions of real connections: nginx and curl, gRPC's own server and client.
func (e *eval) captured(what string) (out [][]byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	backend := freePort()
	r, err := record("127.0.0.1:" + backend)
	if err != nil {
		return nil
	}
	defer r.Close()
	dir := filepath.Join(e.dir, what)
	if os.Mkdir(dir, 0o700) != nil {
		return nil
	}
	if what == "grpc" {
		err = e.callGRPC(ctx, dir, backend, r.port())
	} else {
		err = e.fetch(ctx, dir, what, backend, r.port())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "capture %s: %v\n", what, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.all {
		if b.Len() > 64 && e.mine(hash(b.Bytes())) {
			out = append(out, b.Bytes())
		}
	}
	return out
}

// debianPython is the one that Debian's python3-grpcio and python3-protobuf are for.
func debianPython() string {
	const path = "/usr/bin/python3"
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return "python3"
}

func (e *eval) callGRPC(ctx context.Context, dir, backend, relay string) error {
	script := filepath.Join(dir, "calls.py")
	if err := os.WriteFile(script, grpcScript, 0o600); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, debianPython(), script, dir, backend, relay).CombinedOutput()
	if err != nil {
		return fmt.Errorf("call gRPC: %w: %.300s", err, out)
	}
	return nil
}

// messages are those that went through gRPC, with or without its prefix of five bytes.
func (e *eval) messages(prefix bool) (out [][]byte) {
	names, _ := filepath.Glob(filepath.Join(e.dir, "grpc", "m*"))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil || len(b) < 16 || !e.mine(hash(b)) {
			continue
		}
		if prefix {
			b = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)
		}
		out = append(out, b)
	}
	return out
}

func (e *eval) fetch(ctx context.Context, dir, what, backend, relay string) error {
	listen, scheme, flags := "http2", "http", []string{"--http2-prior-knowledge"}
	if what == "tls" {
		listen, scheme, flags = "ssl http2", "https", []string{"-k"}
		if err := certificate(dir); err != nil {
			return err
		}
	}
	tls := ""
	if what == "tls" {
		tls = "ssl_certificate " + dir + "/cert.pem; ssl_certificate_key " + dir + "/key.pem;"
	}
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events {} http { access_log off; types { text/html html; image/png png; text/plain txt; } default_type application/octet-stream;
client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
server { listen 127.0.0.1:%[2]s %[3]s; %[4]s root /usr/share/doc; } }`, dir, backend, listen, tls)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	nginx := exec.CommandContext(ctx, "nginx", "-c", path, "-p", dir)
	var said bytes.Buffer
	nginx.Stderr = &said
	if err := nginx.Start(); err != nil {
		return err
	}
	defer func() {
		nginx.Process.Signal(os.Interrupt)
		nginx.Wait()
	}()
	for range 100 {
		c, err := net.Dial("tcp", "127.0.0.1:"+backend)
		if err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	docs, _ := filepath.Glob("/usr/share/doc/*/*")
	for i := range 120 {
		args := append([]string{"-s", "--max-time", "20"}, flags...)
		for k := range 1 + i%7 {
			doc := docs[(i*131+k*17)%len(docs)]
			args = append(args, "-o", "/dev/null", scheme+"://127.0.0.1:"+relay+strings.TrimPrefix(doc, "/usr/share/doc"))
		}
		if out, err := exec.CommandContext(ctx, "curl", args...).CombinedOutput(); err != nil && i == 0 {
			return fmt.Errorf("run curl: %w: %s; nginx says %s", err, out, said.Bytes())
		}
	}
	return nil
}

func certificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(crand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir+"/cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(dir+"/key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}), 0o600)
}

// living are programs whose memory is looked at: they wait until their input ends.
var living = [][]string{
	{"python3", "-c", "import json,sys,ssl,email,re; d=[json.dumps({'k':i,'v':str(i)*5}) for i in range(20000)]; sys.stdin.read()"},
	{"node", "-e", "const d=[];for(let i=0;i<20000;i++)d.push({i,s:'n'+i,f:Math.sqrt(i)});process.stdin.resume()"},
	{"perl", "-e", "use POSIX; my %h=map{$_=>\"v$_\"}1..20000; <STDIN>"},
	{"ruby", "-e", "require 'json'; d=(1..20000).map{|i|{i=>i.to_s}}; STDIN.read"},
	{"php", "-r", "$d=[];for($i=0;$i<20000;$i++)$d[]=['a'=>$i,'b'=>md5($i)];fgets(STDIN);"},
	{"bash", "-c", "for i in $(seq 2000); do a[$i]=x$i; done; read x"},
	{"gdb", "-q", "-nx", "/usr/bin/python3"},
	{"sqlite3", ":memory:"},
	{"redis-server", "--port", "0", "--save", "", "--appendonly", "no"},
}

// alive starts the programs, and looks at each when it is settled.
func alive(look func(name string, pid int)) {
	for _, args := range living {
		cmd := exec.Command(args[0], args[1:]...)
		in, err := cmd.StdinPipe()
		if err != nil || cmd.Start() != nil {
			continue
		}
		// It has settled when it waits and its time no longer grows.
		last := ""
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", cmd.Process.Pid))
			if string(b) == last {
				break
			}
			last = string(b)
		}
		look(args[0], cmd.Process.Pid)
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// memory is what programs have in their writable mappings, in parts of 16 KiB that are not all NUL.
func (e *eval) memory() (out [][]byte) {
	const part = 16 << 10
	seen := map[uint64]bool{}
	alive(func(_ string, pid int) {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil {
			return
		}
		mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
		if err != nil {
			return
		}
		defer mem.Close()
		for line := range strings.Lines(string(maps)) {
			var lo, hi int64
			if _, err := fmt.Sscanf(line, "%x-%x rw", &lo, &hi); err != nil || !strings.Contains(line, " rw") {
				continue
			}
			for n := 0; lo+part <= hi && n < 200; lo, n = lo+part, n+1 {
				b := make([]byte, part)
				if _, err := mem.ReadAt(b, lo); err != nil || bytes.Count(b, []byte{0}) > part*9/10 {
					continue
				}
				if h := hash(b); e.mine(h) && !seen[h] {
					seen[h] = true
					out = append(out, b)
				}
			}
		}
	})
	return out
}

// cores are of these programs, made by gdb.
func (e *eval) cores() (out [][]byte) {
	alive(func(name string, pid int) {
		if _, err := ran("gcore", "-o", e.dir+"/core", fmt.Sprint(pid)); err != nil {
			fmt.Fprintf(os.Stderr, "core of %s: %v\n", name, err)
			return
		}
		path := fmt.Sprintf("%s/core.%d", e.dir, pid)
		if f, err := os.Open(path); err == nil {
			if b, err := io.ReadAll(io.LimitReader(f, 32<<20)); err == nil && e.mine(hash(b)) {
				out = append(out, b)
			}
			f.Close()
		}
		os.Remove(path)
	})
	return out
}
