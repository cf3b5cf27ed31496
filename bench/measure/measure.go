// Package measure is what the measurements share.
package measure

import (
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Quantile q (0 to 1) of v by the nearest rank; v is sorted in place.
func Quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	i := int(q*float64(len(v))+0.9999999) - 1
	return v[max(0, min(i, len(v)-1))]
}

// FreePort is a TCP port of loopback that nobody has.
func FreePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// Dial waits for a server at a port of loopback, for 5 s.
func Dial(port int) error {
	var err error
	for range 200 {
		var c net.Conn
		if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return c.Close()
		}
		time.Sleep(25 * time.Millisecond)
	}
	return fmt.Errorf("its port did not open in 5 s: %w", err)
}

// ReadCase reads a case file.
func ReadCase(name string) (*evidence.Case, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return evidence.ReadCase(f)
}
