package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/report"
)

// Exit codes of logcheck, as grep has them the other way round.
const (
	checkFound  = 1
	checkFailed = 2
)

// foundSpan is one object of logcheck -o json.
type foundSpan struct {
	File       string  `json:"file"`
	Offset     int64   `json:"offset"`
	Length     int64   `json:"length"`
	Line       int64   `json:"line"`
	LooksLike  string  `json:"looksLike"`
	Confidence float64 `json:"confidence"`
	Preview    string  `json:"preview"` // hex of the first bytes
	Stream     string  `json:"stream,omitzero"`
	Growing    bool    `json:"growing,omitzero"` // it had not ended, and length is what there was of it
}

func logcheckCommand(s *settings) *cobra.Command {
	format, follow, position := "text", false, ""
	cmd := &cobra.Command{
		Use:   "logcheck [FILE...]",
		Short: "Find in logs what is no text: overwritten memory, TLS records, archives, NUL bytes",
		Long: `Find in logs what is no text, and say what it looks like.

Text of any language, in UTF-8 or an older encoding, with colours, progress bars and box drawings
is text. The forms of container runtimes (CRI, Docker's JSON) are recognised, and gzip, zstd, xz and bzip2 unpacked;
offsets are those of the unpacked file. Without FILE, or where it is -, standard input is read.

With --follow it goes on when it has read all, until it is interrupted, and tells garbage within a second. Files
may be rotated, cut, compressed and deleted meanwhile; in a directory all logs are followed, also those that come
later, and those of directories in it. With --position it goes on where the last call with that file ended.
Garbage that goes on is told as it is up to then ("growing" in JSON), and once more, with the same offset, when it
has ended as more than that.

Torn lines (another line begins inside, or the end is missing) are told where the lines of a log begin alike, with
a date or as JSON. In text form the first ten of a file are shown and all counted. They are found by what is usual
in that log, so they change the exit code, and stand in the JSON form, only with --torn.

It exits with 1 when something was found, 0 when nothing was, 2 when a file could not be read.`,
		Example: `  descry logcheck app.log app.log.1.gz
  descry logcheck --follow --position /var/lib/descry/logs /var/log/pods`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				fmt.Fprintf(s.stderr, "descry: logcheck: unknown form %q: -o takes text or json\n", report.Safe(format))
				return status(checkFailed)
			}
			if position != "" && !follow {
				fmt.Fprintln(s.stderr, "descry: logcheck: --position needs --follow")
				return status(checkFailed)
			}
			if follow {
				if code := s.followLogs(cmd.Context(), args, format, position); code != 0 {
					return status(code)
				}
				return nil
			}
			if len(args) == 0 {
				args = []string{"-"}
			}
			code := 0
			for _, name := range args {
				found, err := s.logcheck(name, format)
				if err != nil {
					fmt.Fprintf(s.stderr, "descry: %s\n", report.Safe(err.Error()))
					code = checkFailed
				} else if found && code == 0 {
					code = checkFound
				}
			}
			if code != 0 {
				return status(code)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&s.torn, "torn", false, "torn lines count as found: exit with 1, an object each in JSON")
	cmd.Flags().StringVarP(&format, "output", "o", format, "form: text, or json with one object a span")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted; directories are followed too")
	cmd.Flags().StringVar(&position, "position", "", "`file` that keeps where it goes on, with --follow")
	return cmd
}

// logcheck judges one file and says whether something was found.
func (s *settings) logcheck(name, format string) (found bool, err error) {
	in, size, done, err := s.openLog(name)
	if err != nil {
		return false, err
	}
	defer done()
	shown := name
	if name == "-" {
		shown = "standard input"
	}
	bar := &progress{out: s.stderr, name: shown, size: size}
	if f, ok := s.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		bar.from = time.Now()
		in = io.TeeReader(in, bar)
	}
	unpacked, unpackedDone, err := unpack(in)
	if err != nil {
		return false, fmt.Errorf("check %s: %w", shown, err)
	}
	defer unpackedDone()
	write := errors.New("write what was found")
	noText := int64(0)
	tears := &tornLines{s: s, shown: shown, format: format, clear: bar.clear, failed: write}
	sum, err := output.CheckLines(unpacked, func(f output.Found) error {
		bar.clear()
		if f.LooksLike != "NUL bytes" { // of which a log that was truncated under its writer has any number
			noText += f.Length
		}
		err := s.writeFound(shown, f, format, false)
		if err != nil {
			return fmt.Errorf("%w: %w", write, err)
		}
		return nil
	}, tears.tell)
	bar.clear()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return false, fmt.Errorf("read %s, at byte %d of it: the file ends before what is packed in it does", shown, sum.Bytes)
	case errors.Is(err, write):
		return false, err
	case err != nil:
		return false, fmt.Errorf("read %s, at byte %d of it: %w", shown, sum.Bytes, reasonOf(err))
	}
	if format == "text" {
		if noText*2 > sum.Bytes {
			sum.Foreign = nil // what is between is not worth a word
		}
		if noText*2 > sum.Bytes && sum.Spans > 1 {
			if _, err := fmt.Fprintf(s.stdout, "%s: %d of its %d bytes are no text, in %d pieces: it is hardly a log\n", report.Safe(shown), noText, sum.Bytes, sum.Spans); err != nil {
				return false, fmt.Errorf("%w: %w", write, err)
			}
		}
		for _, f := range sum.Foreign {
			if _, err := fmt.Fprintf(s.stdout, "%s: text in %s, not UTF-8, from byte %d on\n", report.Safe(shown), f.Encoding, f.Offset); err != nil {
				return false, fmt.Errorf("%w: %w", write, err)
			}
		}
	}
	return sum.Spans > 0 || s.torn && sum.Torn > 0, tears.end(sum.Torn)
}

// writeFound writes a span, at once.
func (s *settings) writeFound(file string, f output.Found, format string, growing bool) error {
	if format == "json" {
		b, err := json.Marshal(foundSpan{file, f.Offset, f.Length, f.Line, f.LooksLike, f.Confidence, f.Preview, f.Stream, growing})
		if err == nil {
			_, err = fmt.Fprintf(s.stdout, "%s\n", b)
		}
		return err
	}
	more := ""
	if growing {
		more = ", up to now"
	}
	_, err := fmt.Fprintf(s.stdout, "%s:%d: %s%s: %s\n", report.Safe(file), f.Line, f.String(), more, f.Preview)
	return err
}

// openLog opens a log; size is 0 where it is not known.
func (s *settings) openLog(name string) (in io.Reader, size int64, done func(), err error) {
	if name == "-" {
		return s.stdin, 0, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("open the log %s: %w", name, reasonOf(err))
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = errors.New("it is a directory; name the files in it, or use --follow")
	}
	if err != nil {
		f.Close()
		return nil, 0, nil, fmt.Errorf("read the log %s: %w", name, err)
	}
	return f, st.Size(), func() { f.Close() }, nil
}

// reasonOf is what is wrong with a file, without its name.
func reasonOf(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// progress shows on a terminal how far a long input is.
type progress struct {
	out   io.Writer
	name  string
	size  int64 // bytes, 0: not known
	from  time.Time
	read  int64
	last  time.Time
	shown bool
}

const progressAfter = 700 * time.Millisecond

// Write counts what was read.
func (p *progress) Write(b []byte) (int, error) {
	p.read += int64(len(b))
	now := time.Now()
	if now.Sub(p.from) < progressAfter || now.Sub(p.last) < 100*time.Millisecond {
		return len(b), nil
	}
	p.last, p.shown = now, true
	rate := float64(p.read) / 1e6 / now.Sub(p.from).Seconds()
	if p.size > 0 {
		const cells = 30
		done := min(cells, int(p.read*cells/p.size))
		fmt.Fprintf(p.out, "\r\x1b[K%.40s [%-*s] %d%%, %.0f MB/s", report.Safe(p.name), cells, "##############################"[:done], min(100, p.read*100/p.size), rate)
	} else {
		fmt.Fprintf(p.out, "\r\x1b[K%.40s %d MB, %.0f MB/s", report.Safe(p.name), p.read/1e6, rate)
	}
	return len(b), nil
}

// clear makes room for a line.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
