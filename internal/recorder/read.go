package recorder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

const maxSegment = 256 << 20 // bytes; a larger file is none of ours

// Recovered says what reading a recording gave and what it could not give.
type Recovered struct {
	Records      int    // observations read
	TornBytes    int64  // at the ends of segments, of records that were not whole
	SkippedBytes int64  // in the middle, over which whole records went on for certain
	Undecoded    int    // whole records that this version cannot decode
	Reason       string // what was found, by file; empty where all was well
}

// Recording is a recording that was read from its directory.
type Recording struct {
	Observations []*evidence.Observation // in order of BootNanos
	Recovered    Recovered
	StartedAt    time.Time // of the oldest segment that is left; zero where there is none
}

// Open reads the recording in dir, also while another descry writes it, and whatever a kill or a
// loss of power has made of it: damage is told in Recovered and is no error. It is an error when
// there is no recording in dir (fs.ErrNotExist) or none of its files can be read.
func Open(dir string) (*Recording, error) {
	var (
		r      Recording
		all    []sequenced
		notes  []string
		found  int
		failed []error
	)
	for ring := range rings {
		for i := range 2 {
			name := segmentName(ring, i)
			b, err := readFile(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			found++
			if err != nil {
				failed = append(failed, err)
				notes = append(notes, fmt.Sprintf("%s: %v", name, err))
				continue
			}
			obs, started, note := r.add(b)
			all = append(all, obs...)
			if note != "" {
				notes = append(notes, name+": "+note)
			}
			if !started.IsZero() && (r.StartedAt.IsZero() || started.Before(r.StartedAt)) {
				r.StartedAt = started
			}
		}
	}
	if found == 0 {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("read the recording: %w", err)
		}
		return nil, fmt.Errorf("read the recording in %s: no recording there: %w", dir, fs.ErrNotExist)
	}
	if len(failed) == found {
		return nil, fmt.Errorf("read the recording in %s: %w", dir, failed[0])
	}
	r.Observations = inOrder(all)
	r.Recovered.Records = len(r.Observations)
	r.Recovered.Reason = strings.Join(notes, "; ")
	return &r, nil
}

// add reads one segment.
func (r *Recording) add(b []byte) (all []sequenced, started time.Time, note string) {
	n := lastNonZero(b)
	if n == 0 {
		return nil, started, "" // made and not yet used
	}
	if n > segmentHeader && lastNonZero(b[:segmentHeader]) == 0 {
		return nil, started, "it was being emptied when descry ended"
	}
	h, why := decodeHeader(b)
	if h == nil {
		r.Recovered.TornBytes += int64(n)
		return nil, started, why
	}
	started = time.Unix(0, h.startWall).UTC()
	s := readSegment(b, h)
	undecoded := 0
	for i, p := range s.payloads {
		o, err := evidence.DecodeBinary(p)
		if err != nil {
			undecoded++
			continue
		}
		all = append(all, sequenced{s.seqs[i], o})
	}
	var notes []string
	if s.skipped > 0 {
		notes = append(notes, fmt.Sprintf("%d damaged bytes in the middle were left out", s.skipped))
	}
	if s.torn > 0 {
		notes = append(notes, fmt.Sprintf("the last %d bytes are no whole record and were left out", s.torn))
	}
	if undecoded > 0 {
		notes = append(notes, fmt.Sprintf("%d records could not be decoded", undecoded))
	}
	r.Recovered.TornBytes += s.torn
	r.Recovered.SkippedBytes += s.skipped
	r.Recovered.Undecoded += undecoded
	return all, started, strings.Join(notes, ", ")
}

func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO must not hold us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxSegment {
		return nil, fmt.Errorf("%s is no segment of a recording", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSegment))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}
