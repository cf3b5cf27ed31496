package container

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// grpcConn makes gRPC calls over one HTTP/2 connection of net/http. That is all of gRPC that the CRI needs
// (docs/decisions/0015-the-cri-without-grpc-go.md): messages with a length before them, no compression, a status
// in the trailer.
type grpcConn struct {
	client  *http.Transport
	service string
}

// maxMessage is what the kubelet takes too.
const maxMessage = 16 << 20

func newGRPC(e endpoint, service string) *grpcConn {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &grpcConn{service: service, client: &http.Transport{
		Protocols: p, DialContext: e.dial, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		// A runtime that hangs must not be taken for one in which nothing happens.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}}
}

func (c *grpcConn) close() { c.client.CloseIdleConnections() }

// The codes of gRPC that are met.
const (
	codeOK            = 0
	codeDeadline      = 4
	codeNotFound      = 5
	codeUnimplemented = 12
	codeUnavailable   = 14
)

// statusError is an answer that is no success.
type statusError struct {
	code    int
	message string
}

func (e statusError) Error() string {
	return fmt.Sprintf("it answers with gRPC code %d: %s", e.code, e.message)
}

// call asks for one answer.
func (c *grpcConn) call(ctx context.Context, method string, message []byte) ([]byte, error) {
	var answer []byte
	got := false
	err := c.stream(ctx, method, message, func(b []byte) error {
		if got {
			return errors.New("two answers to one question")
		}
		answer, got = b, true
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !got:
		return nil, errors.New("a success without an answer")
	}
	return answer, nil
}

// stream hands on every answer until there are no more. The slice is take's to keep.
func (c *grpcConn) stream(ctx context.Context, method string, message []byte, take func([]byte) error) error {
	ctx, stop := context.WithCancel(ctx) // also lets go of a stream that is not read to its end
	defer stop()
	frame := binary.BigEndian.AppendUint32(make([]byte, 1, 5+len(message)), uint32(len(message)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/"+c.service+"/"+method, bytes.NewReader(append(frame, message...)))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"descry"}}
	if limit, ok := ctx.Deadline(); ok { // so that the runtime gives up as well
		req.Header.Set("Grpc-Timeout", strconv.FormatInt(max(1, time.Until(limit).Milliseconds()), 10)+"m")
	}
	resp, err := c.client.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it speaks no gRPC: HTTP status %s", cut(resp.Status, maxName))
	}
	if resp.Header.Get("Grpc-Status") != "" { // there is nothing but a status
		return statusOf(resp.Header)
	}
	for {
		b, err := readMessage(resp.Body)
		if errors.Is(err, io.EOF) {
			return statusOf(resp.Trailer)
		}
		if err != nil {
			return err
		}
		if err := take(b); err != nil {
			return err
		}
	}
}

// readMessage reads one message. io.EOF is an end between two of them.
func readMessage(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err // io.ErrUnexpectedEOF within the head
	}
	size := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != 0:
		return nil, errors.New("a compressed message, which nobody asked for")
	case size > maxMessage:
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	// What is announced need not come: memory is taken as it does.
	var buf bytes.Buffer
	n, err := io.CopyN(&buf, r, int64(size))
	if n < int64(size) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf.Bytes(), nil
}

func statusOf(h http.Header) error {
	text := h.Get("Grpc-Status")
	code, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("an answer that ends without a status (%q)", cut(text, 20))
	}
	if code == codeOK {
		return nil
	}
	message := h.Get("Grpc-Message")
	if m, err := url.PathUnescape(message); err == nil {
		message = m
	}
	return statusError{code, cut(message, maxName)}
}
