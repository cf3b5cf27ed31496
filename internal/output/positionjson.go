package output

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// appendJSON appends what json.Marshal gives: thousands of positions are written each second.
func (s *savedLog) appendJSON(b []byte) ([]byte, error) {
	b, err := appendText(append(b, `{"path":`...), s.Path)
	if err != nil {
		return nil, err
	}
	if s.Gone {
		b = append(b, `,"gone":true`...)
	}
	for i := range s.Files {
		if b = append(b, ','); i == 0 {
			b = append(b, `"files":[`...)
		}
		if b, err = s.Files[i].appendJSON(b); err != nil {
			return nil, err
		}
		if i == len(s.Files)-1 {
			b = append(b, ']')
		}
	}
	b = appendPair(append(b, `,"at":[`...), s.At)
	b = appendPair(append(b, `],"done":[`...), s.Done)
	b = append(b, `],"seen":{`...)
	comma := ""
	if s.Seen.Stamp != "" {
		if b, err = appendText(append(b, `"stamp":`...), s.Seen.Stamp); err != nil {
			return nil, err
		}
		comma = ","
	}
	if s.Seen.Ino != 0 {
		b = append(append(b, comma...), `"ino":`...)
		b = strconv.AppendUint(b, s.Seen.Ino, 10)
		comma = ","
	}
	if s.Seen.MTime != 0 {
		b = append(append(b, comma...), `"mtime":`...)
		b = strconv.AppendInt(b, s.Seen.MTime, 10)
		comma = ","
	}
	if s.Seen.Born != 0 {
		b = append(append(b, comma...), `"born":`...)
		b = strconv.AppendInt(b, s.Seen.Born, 10)
	}
	return append(b, "}}"...), nil
}

func (f *savedFile) appendJSON(b []byte) ([]byte, error) {
	b, err := appendText(append(b, `{"path":`...), f.Path)
	if err != nil {
		return nil, err
	}
	b = strconv.AppendUint(append(b, `,"dev":`...), f.Dev, 10)
	b = strconv.AppendUint(append(b, `,"ino":`...), f.Ino, 10)
	if f.Zip {
		b = append(b, `,"zip":true`...)
	}
	if f.Form != "" {
		if b, err = appendText(append(b, `,"form":`...), string(f.Form)); err != nil {
			return nil, err
		}
	}
	b = strconv.AppendInt(append(b, `,"offset":`...), f.Offset, 10)
	b = strconv.AppendInt(append(b, `,"line":`...), f.Line, 10)
	b = strconv.AppendInt(append(b, `,"read":`...), f.Read, 10)
	b = strconv.AppendInt(append(b, `,"size":`...), f.Size, 10)
	b = strconv.AppendInt(append(b, `,"mtime":`...), f.MTime, 10)
	b = f.Head.appendJSON(append(b, `,"head":`...))
	b = f.Tail.appendJSON(append(b, `,"tail":`...))
	return append(b, '}'), nil
}

func (p print) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"Bytes":`...), int64(p.Bytes), 10)
	b = strconv.AppendUint(append(b, `,"Sum":`...), p.Sum, 10)
	return append(b, '}')
}

func appendPair(b []byte, x [2]int64) []byte {
	return strconv.AppendInt(append(strconv.AppendInt(b, x[0], 10), ','), x[1], 10)
}

func appendText(b []byte, s string) ([]byte, error) { return jsontext.AppendQuote(b, s) }
