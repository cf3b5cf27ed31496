// Package trace holds what programs held over time, compactly: recorded from real programs, or made
// after such recordings.
package trace

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The quantities of a series.
const (
	NoFile   = "nofile"         // open descriptors of a process
	Highest  = "fd_setsize"     // the highest descriptor of a process that calls select()
	Mappings = "mappings"       // of a process
	Pids     = "pids"           // tasks of a cgroup
	Memory   = "memory"         // of a cgroup without page cache
	Working  = "memory-working" // with active page cache
	Usage    = "memory-used"    // with all page cache
	FileNr   = "file-nr"        // open files of the machine
)

// The kinds of traces.
const (
	Honest = "honest" // never reaches a limit by itself
	Leak   = "leak"   // grows until a limit is reached
	Stops  = "stops"  // grows as a leak does, and ends below the limit
)

// Trace is one program, with all of its processes.
type Trace struct {
	Name, Kind, What string
	Recorded         string // when and on what, or after which recording it was made
	Series           []*Series
}

// Series is one value, sampled at whole steps.
type Series struct {
	Quantity string
	PID      int    // 0: of a cgroup or the machine
	Comm     string // of the process
	Max      int64  // limit in units
	Unit     int64  // of values and Max
	From     int    // seconds from the trace's start to the first value
	Step     int    // seconds between values
	Values   []int64
}

// Missing stands where no sample was had.
const Missing = int64(-1)

// Write writes t.
func Write(w io.Writer, t *Trace) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "trace %s\nkind %s\nwhat %s\nrecorded %s\n", t.Name, t.Kind, t.What, t.Recorded)
	for _, s := range t.Series {
		fmt.Fprintf(b, "series %s pid=%d max=%d unit=%d from=%d step=%d comm=%s\n", s.Quantity, s.PID, s.Max, s.Unit, s.From, s.Step, s.Comm)
		b.WriteString(encode(s.Values))
		b.WriteByte('\n')
	}
	return b.Flush()
}

// encode writes differences; "*N" stands for N values without one, "_N" for N that are missing.
func encode(v []int64) string {
	var b strings.Builder
	last, width := int64(0), 0
	put := func(format string, n int64) {
		s := fmt.Sprintf(format, n)
		if width += len(s) + 1; width > 160 {
			b.WriteByte('\n')
			width = len(s)
		} else if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	for i := 0; i < len(v); {
		n := i
		switch {
		case v[i] == Missing:
			for n < len(v) && v[n] == Missing {
				n++
			}
			put("_%d", int64(n-i))
			i = n
		case v[i] == last && i > 0:
			for n < len(v) && v[n] == last {
				n++
			}
			put("*%d", int64(n-i))
			i = n
		default:
			put("%d", v[i]-last)
			last = v[i]
			i++
		}
	}
	return b.String()
}

const maxValues = 1 << 20 // of a series

// Read reads what Write wrote.
func Read(r io.Reader) (*Trace, error) {
	t := new(Trace)
	var s *Series
	last := int64(0)
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "trace":
			t.Name = rest
		case "kind":
			t.Kind = rest
		case "what":
			t.What = rest
		case "recorded":
			t.Recorded = rest
		case "series":
			s, last = new(Series), 0
			head, comm, _ := strings.Cut(rest, " comm=")
			s.Comm = comm
			if _, err := fmt.Sscanf(head, "%s pid=%d max=%d unit=%d from=%d step=%d", &s.Quantity, &s.PID, &s.Max, &s.Unit, &s.From, &s.Step); err != nil {
				return nil, fmt.Errorf("read trace, line %d: %w", n, err)
			}
			if s.Step < 1 || s.Unit < 1 {
				return nil, fmt.Errorf("read trace, line %d: a step or unit below 1", n)
			}
			t.Series = append(t.Series, s)
		default:
			if s == nil {
				return nil, fmt.Errorf("read trace, line %d: values before a series", n)
			}
			if err := s.decode(line, &last); err != nil {
				return nil, fmt.Errorf("read trace, line %d: %w", n, err)
			}
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	return t, nil
}

func (s *Series) decode(line string, last *int64) error {
	for f := range strings.FieldsSeq(line) {
		repeat, value := int64(1), *last
		var err error
		switch f[0] {
		case '*':
			repeat, err = strconv.ParseInt(f[1:], 10, 32)
		case '_':
			value = Missing
			repeat, err = strconv.ParseInt(f[1:], 10, 32)
		default:
			var d int64
			d, err = strconv.ParseInt(f, 10, 64)
			*last += d
			value = *last
		}
		if err != nil {
			return err
		}
		if repeat < 0 || int64(len(s.Values))+repeat > maxValues {
			return fmt.Errorf("more than %d values", maxValues)
		}
		for range repeat {
			s.Values = append(s.Values, value)
		}
	}
	return nil
}
