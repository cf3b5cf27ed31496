package output

import (
	"fmt"
	"math/rand"
	"reflect"
	"testing"
)

// Lines with numbers, addresses and second dates in them, which are told from beginnings by signatures.
var numbered = map[string]func(i int) string{
	"two ways": func(i int) string {
		start := "-"
		if i%3 == 0 {
			start = []string{"KERNEL", "APPL", "LINKS"}[i/3%3]
		}
		return fmt.Sprintf("%s %010d 2005.06.%02d R%02d-M1 2005-06-%02d-15.42.50.%06d R%02d-M1 RAS %08d %d.%d.%d.%d", start, 1117838570+i, 1+i%28, i%64, 1+i%28, i*7919%1000000, i%64, i*7919, i%250, i%99, i*7%250, i%10)
	},
	"blocks": func(i int) string {
		return fmt.Sprintf("081109 %06d %d INFO dfs.DataNode: block blk_%d src: /10.250.%d.%d:%d dest: /10.250.%d.%d:50010 081109 %05d", 200000+i, i%9000+10, i*7919*104729, i%250, i%99, 40000+i%9999, i%99, i%250, i%99999)
	},
	"syslog": func(i int) string {
		return fmt.Sprintf("Jun %2d %02d:%02d:%02d combo ftpd[%d]: connection from %d.%d.%d.%d (host-%d) at Fri Jun %2d %02d:%02d:%02d 2005", 1+i/600%28, i/3600%24, i/60%60, i%60, i%30000, i%250, i*7%250, i%10, i%99, i, 1+i/600%28, i/3600%24, i/60%60, i%60)
	},
}

// A line that begins inside such a line is found as in pieces too short for signatures, and no whole line is.
func TestSignatures(t *testing.T) {
	for name, line := range numbered {
		r := rand.New(rand.NewSource(1))
		var whole, torn []byte
		tears := 0
		for i := range 6000 {
			l := line(i) + "\n"
			whole = append(whole, l...)
			switch r.Intn(60) * min(1, i/1000) {
			case 1:
				torn = append(torn, l[:len(l)-1]...) // the newline is lost
				tears++
			case 2:
				cut := len(l) / 2
				torn = append(append(append(torn, l[:cut]...), line(i+1)...), "\n"+l[cut:]...)
				tears++
			default:
				torn = append(torn, l...)
			}
		}
		if a := streamed(whole, 0, 1); len(a.torn) > 0 {
			t.Errorf("%s: %d whole lines are torn: %+v", name, len(a.torn), a.torn[0])
		}
		a := streamed(torn, 0, 1)
		if len(a.torn) < tears/3 {
			t.Errorf("%s: %d of %d found", name, len(a.torn), tears)
		}
		for seed := range int64(3) {
			if b := streamed(torn, 200, seed); !reflect.DeepEqual(a, b) {
				t.Errorf("%s: in pieces %d torn lines and %+v, in one %d and %+v", name, len(b.torn), b.tally, len(a.torn), a.tally)
			}
		}
		t.Logf("%s: %d of %d found", name, len(a.torn), tears)
	}
}
