package casebook

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// childSend sends to a file until it is killed.
func childSend(dir string) {
	b := New(dir, Bounds{})
	out, err := os.OpenFile(filepath.Join(dir, "..", "received"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := NewOutbox(b, sendFunc(func(c *evidence.Case) error {
		if strings.HasSuffix(c.ID, "0") {
			return ErrRefused
		}
		_, err := fmt.Fprintln(out, c.ID, c.Findings[0].Summary)
		return err
	}), func(string, ...any) {})
	if err != nil {
		fmt.Println(err)
		return
	}
	go o.Run(context.Background())
	fmt.Println("begun")
	for i := 0; ; i++ {
		c := numbered(int(time.Now().UnixNano() / 1e9 % 1e6))
		c.Findings[0].Summary = "first"
		if _, err := b.Put(c); err != nil {
			fmt.Println(err)
			return
		}
		if i%3 == 0 {
			c.Findings[0].Summary = "second"
			if _, err := b.Put(c); err != nil {
				fmt.Println(err)
				return
			}
		}
	}
}

type sendFunc func(*evidence.Case) error

func (f sendFunc) Send(_ context.Context, c *evidence.Case) error { return f(c) }

// Killed at any moment, again and again, the outbox leaves nothing out, and begins hardly anything anew.
func TestOutboxKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cases")
	const rounds = 8
	for range rounds {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "DESCRY_CASEBOOK_SEND="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var buf [100]byte
		n, _ := out.Read(buf[:])
		if string(buf[:n]) != "begun\n" {
			t.Errorf("the child says %q", buf[:n])
		}
		time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond) // any moment will do
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	b, s := New(dir, Bounds{}), &inbox{}
	received := map[string]int{}
	text, err := os.ReadFile(filepath.Join(dir, "..", "received"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		received[strings.TrimSpace(line)]++
	}
	s.answer = func(c *evidence.Case) error {
		if strings.HasSuffix(c.ID, "0") {
			return ErrRefused
		}
		received[c.ID+" "+c.Findings[0].Summary]++
		return nil
	}
	o, _, stop := sending(t, b, s)
	until(t, "the rest", func() bool { return o.Stats().Waiting == 0 })
	st := o.Stats()
	stop()
	names, _, err := b.names()
	if err != nil || len(names) < rounds {
		t.Fatalf("%d cases, %v: this shows nothing", len(names), err)
	}
	refused := 0
	for _, name := range names {
		c, err := b.read(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(c.ID, "0") {
			refused++
		} else if received[c.ID+" "+c.Findings[0].Summary] == 0 {
			t.Errorf("%s was never sent as it is", c.ID)
		}
	}
	if st.Refused != refused {
		t.Errorf("%d are put aside, want %d", st.Refused, refused)
	}
	twice := 0
	for _, n := range received {
		twice += n - 1
	}
	t.Logf("%d cases, %d put aside, %d sent twice", len(names), refused, twice)
}
