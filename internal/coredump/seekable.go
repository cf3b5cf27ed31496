package coredump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Cores are kept in the seekable zstd format: frames that stand alone, and behind them a table of their
// sizes in a frame that decoders skip. `zstd -d` unpacks such a file, and a reader finds any address in it.
// https://github.com/facebook/zstd/blob/dev/contrib/seekable_format/zstd_seekable_compression_format.md
const (
	frameSize     = 256 << 10 // bytes of a core in one frame
	skippable     = 0x184D2A5E
	seekableMagic = 0x8F92EAB1
	footerSize    = 9
	maxFrames     = 1 << 24 // 4 TiB of a core
	maxFrameSize  = 8 << 20 // a file with a larger one is not of ours
	maxPackers    = 8
)

// packer writes the seekable zstd format, compressing on all processors. What it holds in memory does
// not grow with what is written, but for 8 bytes a frame.
type packer struct {
	w     io.Writer
	free  chan *packFrame // not in use
	work  chan *packFrame // to be compressed
	order chan *packFrame // to be written, in this order
	done  chan struct{}
	cur   *packFrame // being filled
	in    int64      // bytes written to it

	mu    sync.Mutex
	err   error    // of writing
	out   int64    // bytes written by it
	sizes []uint32 // in turn compressed and unpacked
}

type packFrame struct {
	in    []byte
	n     int
	out   []byte
	ready chan struct{}
}

func encoderOptions() []zstd.EOption {
	return []zstd.EOption{
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(frameSize),
	}
}

// zeroFrame is a whole frame of zeros, compressed: memory that a process never wrote to reaches a
// receiver as zeros, often by the gigabyte.
var zeroFrame = sync.OnceValue(func() []byte {
	e, err := zstd.NewWriter(nil, encoderOptions()...)
	if err != nil {
		return nil
	}
	defer e.Close()
	return e.EncodeAll(make([]byte, frameSize), nil)
})

var zeros [frameSize]byte

func newPacker(w io.Writer) (*packer, error) {
	workers := min(max(runtime.GOMAXPROCS(0), 1), maxPackers)
	p := &packer{
		w: w, free: make(chan *packFrame, workers+2), work: make(chan *packFrame), order: make(chan *packFrame, workers+2), done: make(chan struct{}),
	}
	for range workers + 2 {
		p.free <- &packFrame{in: make([]byte, frameSize), ready: make(chan struct{}, 1)}
	}
	encoders := make([]*zstd.Encoder, workers)
	for i := range encoders {
		var err error
		if encoders[i], err = zstd.NewWriter(nil, encoderOptions()...); err != nil {
			return nil, fmt.Errorf("make a compressor: %w", err)
		}
	}
	for _, e := range encoders {
		go func() {
			defer e.Close()
			for f := range p.work {
				f.pack(e)
				f.ready <- struct{}{}
			}
		}()
	}
	go p.write()
	return p, nil
}

func (f *packFrame) pack(e *zstd.Encoder) {
	if z := zeroFrame(); f.n == frameSize && z != nil && bytes.Equal(f.in, zeros[:]) {
		f.out = append(f.out[:0], z...)
		return
	}
	f.out = e.EncodeAll(f.in[:f.n], f.out[:0])
}

// write brings the frames out in their order. After an error it only passes them on.
func (p *packer) write() {
	defer close(p.done)
	for f := range p.order {
		<-f.ready
		if p.failed() == nil {
			n, err := p.w.Write(f.out)
			p.mu.Lock()
			p.out += int64(n)
			p.sizes = append(p.sizes, uint32(len(f.out)), uint32(f.n))
			if err != nil {
				p.err = err
			} else if len(p.sizes) > 2*maxFrames {
				p.err = errors.New("the core is larger than what the format of its file can hold")
			}
			p.mu.Unlock()
		}
		p.free <- f
	}
}

func (p *packer) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *packer) flush() {
	f := p.cur
	p.cur = nil
	if f == nil {
		return
	}
	if f.n == 0 {
		p.free <- f
		return
	}
	p.order <- f
	p.work <- f
}

func (p *packer) room() []byte {
	if p.cur == nil {
		p.cur = <-p.free
		p.cur.n = 0
	}
	return p.cur.in[p.cur.n:]
}

func (p *packer) filled(n int) {
	p.cur.n += n
	p.in += int64(n)
	if p.cur.n == frameSize {
		p.flush()
	}
}

func (p *packer) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if err := p.failed(); err != nil {
			return n, err
		}
		k := copy(p.room(), b)
		p.filled(k)
		b, n = b[k:], n+k
	}
	return n, nil
}

// ReadFrom packs r to its end, reading straight into the frames.
func (p *packer) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if err := p.failed(); err != nil {
			return n, err
		}
		k, err := r.Read(p.room())
		p.filled(k)
		n += int64(k)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Close writes what is left and the table, and ends the goroutines. It must be called, once.
func (p *packer) Close() error {
	p.flush()
	close(p.work)
	close(p.order)
	<-p.done
	if p.err != nil {
		return p.err
	}
	n := len(p.sizes) / 2
	b := make([]byte, 0, 8+8*n+footerSize)
	b = le.AppendUint32(b, skippable)
	b = le.AppendUint32(b, uint32(8*n+footerSize))
	for _, v := range p.sizes {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint32(b, uint32(n))
	b = append(b, 0) // no checksums here: the frames have their own
	b = le.AppendUint32(b, seekableMagic)
	k, err := p.w.Write(b)
	p.out += int64(k)
	return err
}
