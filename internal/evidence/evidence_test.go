package evidence

import (
	"bytes"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var update = flag.Bool("update", false, "write golden files anew")

// fill sets every exported field to something that is not zero, so that a field which an encoding
// forgets is seen.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Interface().(type) {
	case jsontext.Value:
		v.SetBytes([]byte(`{"newer":1}`))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1763800000+r.Int63n(1e6), r.Int63n(1e9)).UTC()))
		return
	case Observation:
		return // the caller's
	case Errno:
		v.SetInt(int64(EMFILE))
		return
	case Signal:
		v.SetInt(int64(SIGSEGV))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{1, 0, 0xff, byte(r.Int())})
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), r)
		fill(v.Index(1), r)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		if fill(value, r); value.Kind() == reflect.Int64 {
			value.SetInt(7)
		}
		v.SetMapIndex(reflect.ValueOf(FDTCP).Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString("s" + string(rune('a'+r.Intn(26))))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5 + float64(r.Intn(100)))
	case reflect.Int32:
		v.SetInt(int64(1 + r.Int31()))
	case reflect.Int64, reflect.Int:
		v.SetInt(1 + r.Int63n(1<<52)) // JSON numbers are exact up to 2^53 for other readers
	case reflect.Uint64:
		v.SetUint(1 + uint64(r.Int63n(1<<52)))
	default:
		panic("evidence has a field of kind " + v.Kind().String())
	}
}

func filled(k Kind) *Observation {
	r := rand.New(rand.NewSource(int64(len(k))))
	o := &Observation{BootNanos: 123456789, WallNanos: 1763800000123456789, Source: SourceKernel, PID: 4242, TID: 4243, Comm: "cart"}
	o.Detail = NewDetail(k)
	fill(reflect.ValueOf(o.Detail).Elem(), r)
	return o
}

func TestBinaryRoundTrip(t *testing.T) {
	for _, k := range All {
		want := filled(k.Kind)
		if got := k.New().Kind(); got != k.Kind {
			t.Errorf("%s makes a detail of kind %s", k.Kind, got)
		}
		b, err := want.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeBinary(b[len("before"):])
		if err != nil {
			t.Fatalf("%s: %v", k.Kind, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", k.Kind, got.Detail, want.Detail)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, k := range All {
		want := filled(k.Kind)
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatalf("%s: %v", k.Kind, err)
		}
		got := new(Observation)
		if err := json.Unmarshal(b, got); err != nil {
			t.Fatalf("%s: %v\n%s", k.Kind, err, b)
		}
		if f := reflect.ValueOf(want.Detail).Elem().FieldByName("Context"); f.IsValid() {
			f.SetZero() // a case has the backtrace in its place
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v\n%s", k.Kind, got.Detail, want.Detail, b)
		}
	}
}

// A newer descry's fields and kinds pass through this one, at every level.
func TestUnknownFieldsSurvive(t *testing.T) {
	in := `{"id":"01","kind":"death","openedAt":"2026-11-22T07:24:17.123456789Z","subject":{"pid":1,"mood":"bad","owner":{"kind":"Deployment","name":"c","shard":2}},
	"death":{"at":"2026-11-22T07:24:17Z","exitCode":1,"oomKilled":false,"uptimeSeconds":1,"moon":"full"},
	"findings":[{"cause":"fd-limit","confidence":"certain","summary":"s","color":"red"}],
	"symptoms":[{"kind":"k","summary":"s","x":1}],"ruledOut":[{"cause":"c","because":"b","y":[1,2]}],
	"timeline":[{"at":"2026-11-22T07:24:17Z","source":"kernel","kind":"fd.refused","pid":1,"weather":"rain","detail":{"call":"openat","errno":"EMFILE","count":3,"new":{"a":1}}},
	{"at":"2026-11-22T07:24:17Z","source":"kernel","kind":"of.tomorrow","detail":{"z":[1,{"q":null}]}}],
	"coverage":[{"source":"probe/fd","lost":0,"v":true}],"fdTable":{"open":1,"softLimit":2,"hardLimit":3,"highest":1,"groups":[{"kind":"tcp","count":1,"rtt":3}],"w":"w"},
	"lastOutput":{"stdout":"aGk=","enc":"x"},"core":{"saved":true,"build":"b"},"tomorrow":{"deep":[1,2,3]}}`
	c, err := ReadCase(strings.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteCase(&out, c); err != nil {
		t.Fatal(err)
	}
	var a, b any
	if err := json.Unmarshal([]byte(in), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("something was lost:\n%s", out.String())
	}
}

// The golden case holds every kind and every field, and its form is a promise.
func TestGolden(t *testing.T) {
	c := new(Case)
	fill(reflect.ValueOf(c).Elem(), rand.New(rand.NewSource(1)))
	timeline := c.Timeline[:0]
	for _, k := range All {
		timeline = append(timeline, *filled(k.Kind))
	}
	c.Timeline = timeline
	var b bytes.Buffer
	if err := WriteCase(&b, c); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "case.golden.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the form of a case changed; if fields were only added, write it anew with -update\n%s", b.String())
	}
	read, err := ReadCase(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	b.Reset()
	if err := WriteCase(&b, read); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("reading and writing the golden case changed it")
	}
}

func TestReadCaseErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "empty",
		"  \n":                        "empty",
		"{":                           "not a case",
		"[]":                          "not a case",
		"{}":                          `no "id"`,
		`{"id":"1","kind":"death"} x`: "not a case",
		`{"id":"1","kind":"death","timeline":[null]}`:                                             "no kind",
		`{"id":"1","kind":"death","timeline":[{}]}`:                                               "no kind",
		`{"id":"1","kind":"death","timeline":[{"kind":"fd.refused","detail":[]}]}`:                "fd.refused",
		`{"id":"1","kind":"death","timeline":[{"kind":"fd.refused","detail":{"errno":"EWHAT"}}]}`: "EWHAT",
	} {
		_, err := ReadCase(strings.NewReader(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", in, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	for e := Errno(-1); e < 140; e++ {
		b, _ := e.MarshalText()
		var got Errno
		if err := got.UnmarshalText(b); err != nil || got != e {
			t.Errorf("%d → %s → %d, %v", e, b, got, err)
		}
	}
	for s := Signal(-1); s < 70; s++ {
		b, _ := s.MarshalText()
		var got Signal
		if err := got.UnmarshalText(b); err != nil || got != s {
			t.Errorf("%d → %s → %d, %v", s, b, got, err)
		}
	}
	if EMFILE.String() != "EMFILE" || SIGSEGV.String() != "SIGSEGV" || ECONNREFUSED.String() != "ECONNREFUSED" || SIGSYS.String() != "SIGSYS" {
		t.Error("constants and names disagree")
	}
}

func TestDominant(t *testing.T) {
	table := &FDTable{Open: 100, Groups: []FDGroup{{Kind: FDFile, Count: 30}, {Kind: FDTCP, State: "CLOSE_WAIT", Peer: "10.0.0.1:5432", Count: 60}}}
	table.SortGroups()
	if g := table.Dominant(); g == nil || g.What() != "tcp CLOSE_WAIT 10.0.0.1:5432" {
		t.Errorf("dominant group is %v", g)
	}
	table.Open = 1000
	if table.Dominant() != nil || (*FDTable)(nil).Dominant() != nil {
		t.Error("a small group dominates")
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	o := filled(KindWriteShort)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(1000, func() { buf, _ = o.AppendBinary(buf[:0]) }); n > 0.1 {
		t.Errorf("%v allocations for one observation", n)
	}
}

func FuzzDecodeBinary(f *testing.F) {
	for _, k := range All {
		b, _ := filled(k.Kind).AppendBinary(nil)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeBinary(b)
		if err != nil {
			return
		}
		if _, err := o.AppendBinary(nil); err != nil {
			t.Error(err)
		}
	})
}

func FuzzReadCase(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "case.golden.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"id":"1","kind":"death","timeline":[{"kind":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ReadCase(bytes.NewReader(b))
		if err != nil {
			return
		}
		if err := WriteCase(new(bytes.Buffer), c); err != nil {
			t.Error(err)
		}
	})
}
