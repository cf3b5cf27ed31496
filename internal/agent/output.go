package agent

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/run"
)

// stalledFor is from when on output that its reader does not take is worth an observation.
const stalledFor = time.Second

var streams = [2]run.Stream{run.Stdout, run.Stderr}

// readOutput judges what the program has written since the last call.
func (f *flight) readOutput() {
	tap := f.cmd.Tap()
	for i, s := range streams {
		for {
			b, from, lost := tap.Read(s)
			if lost > 0 { // overwritten before it was read: what follows begins anew
				f.outputLost += lost
				f.endOutput(i)
			}
			if len(b) == 0 {
				break
			}
			if f.judged[i] == 0 {
				f.base[i] = from
			}
			f.judged[i] += int64(len(b))
			spans, torn := f.streams[i].Write(b)
			f.garbage(i, spans)
			f.tellTorn(i, torn)
		}
		f.fullBuffers(i, false)
		f.lookForStall(i, s)
	}
	f.descend()
	f.answer(false)
}

// endOutput ends the judgement of a stream, or of its part before a gap.
func (f *flight) endOutput(i int) {
	spans, torn := f.streams[i].Flush()
	f.garbage(i, spans)
	f.tellTorn(i, torn)
	if d, ok := f.streams[i].Foreign(); ok {
		f.observe(now(evidence.SourceOutput, f.pid, &evidence.Foreign{
			Stream: streams[i].String(), Encoding: d.Encoding, Offset: f.base[i] + d.Offset, Bytes: d.Bytes,
		}))
	}
	f.countTorn(i)
	*f.streams[i] = output.Stream{}
	f.judged[i] = 0
}

// garbage records the spans that a stream has just given.
func (f *flight) garbage(i int, spans []output.Span) {
	for _, span := range spans {
		f.climb(i, fmt.Sprintf("it turned to garbage at byte %d", f.base[i]+span.Offset))
		f.garbled += span.Length
		offset := f.base[i] + span.Offset
		f.keepFirst(i, offset)
		if streams[i] == run.Stdout && (span.Offset == 0 || f.firstLine(offset)) { // from the first byte or line on, or the first behind a gap
			f.binary = true
		}
		f.turned = f.turned || !f.binary || streams[i] != run.Stdout
		o := now(evidence.SourceOutput, f.pid, &evidence.Garbled{
			Stream: streams[i].String(), Offset: offset, Length: span.Length, LooksLike: span.LooksLike, Preview: span.Preview,
		})
		if at, ok := f.cmd.Tap().TimeAt(streams[i], offset); ok {
			o.WallNanos -= o.BootNanos - at
			o.BootNanos = at
		}
		f.ask(i, o)
	}
	if span, ok := f.streams[i].Current(); ok {
		f.climb(i, fmt.Sprintf("it turns to garbage at byte %d", f.base[i]+span.Offset))
	}
}

// lookForStall says once for each stall that what the output goes to takes nothing.
func (f *flight) lookForStall(i int, s run.Stream) {
	since := f.cmd.Tap().Stalled(s)
	if since == 0 {
		f.stalled[i] = 0
		return
	}
	if nanos := bootNanos() - since; nanos > int64(stalledFor) && f.stalled[i] != since {
		f.stalled[i] = since
		f.observe(now(evidence.SourceOutput, f.pid, &evidence.OutputStalled{Stream: s.String(), Nanos: nanos}))
	}
}

// outputRefused says which output was lost because what it goes to took no more: the command itself
// was not told, since it writes to a pipe.
func (f *flight) outputRefused() {
	for _, s := range streams {
		switch t := f.cmd.Tap().Totals(s); {
		case t.Dropped == 0 || t.Errno == 0 || unix.Errno(t.Errno) == unix.EPIPE: // a reader that went away the command met itself
		default:
			f.say("%d bytes of %s's %s are lost: what it goes to refused them (%v)", t.Dropped, filepath.Base(f.cfg.Command[0]), s, unix.Errno(t.Errno))
		}
	}
}

func (f *flight) lastOutput() *evidence.LastOutput {
	tap := f.cmd.Tap()
	out := &evidence.LastOutput{Merged: tap.Merged(), FirstGarbage: f.firstGarbage}
	out.Stdout, _ = tap.Tail(nil, run.Stdout, keepOutput)
	out.StdoutBytes = tap.Totals(run.Stdout).Written
	if !out.Merged {
		out.Stderr, _ = tap.Tail(nil, run.Stderr, keepOutput)
		out.StderrBytes = tap.Totals(run.Stderr).Written
	}
	out.Truncated = out.StdoutBytes > int64(len(out.Stdout)) || out.StderrBytes > int64(len(out.Stderr))
	return out
}

// carriage ends lines as a terminal in raw mode needs it.
type carriage struct{ w io.Writer }

func (c carriage) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, fmt.Errorf("write to the terminal: %w", err)
	}
	return len(p), nil
}
