package output

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// processorTime measures rounds by the processor time of their thread, which tells also on a busy machine, and reports the
// median as GB/s.
func processorTime(b *testing.B, size int, round func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := func() int64 {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
			b.Fatal(err)
		}
		return t.Nano()
	}
	const most = 1 << 12
	var took []int64
	for b.Loop() {
		from := now()
		round()
		if took = append(took, now()-from); len(took) == most {
			took = took[:copy(took, took[most/2:])]
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		b.ReportMetric(float64(size)/float64(max(took[len(took)/2], 1)), "GB/s")
		b.ReportMetric(float64(size)/math.Max(float64(took[0]), 1), "best-GB/s")
	}
}

var speedTexts = func() map[string]func() string {
	all := map[string]func() string{}
	for name := range forms {
		all[name] = func() string { return strings.Join(logOf(name, 2000), "\n") + "\n" }
	}
	all["63 bytes"] = func() string {
		return strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok, 17 items, 42.50 EUR\n", 2000)
	}
	all["no date"] = func() string {
		var b strings.Builder
		for i := range 2000 {
			b.WriteString("INFO:root:" + message(i) + "\n")
		}
		return b.String()
	}
	all["stack traces"] = func() string {
		var b strings.Builder
		for i := range 400 {
			b.WriteString(forms["ISO"](i) + "\njava.lang.IllegalStateException: " + message(i) + "\n")
			for range 5 + i%20 {
				b.WriteString("\tat org.example.shop.checkout.CheckoutService.place(CheckoutService.java:214)\n")
			}
		}
		return b.String()
	}
	all["mixed UTF-8"] = func() string {
		var b strings.Builder
		for i := range 2000 {
			b.WriteString(forms["ISO"](i) + " Bestellung für Jürgen Müller ausgelöst, заказ принят, 注文を受け付けました ✓\n")
		}
		return b.String()
	}
	return all
}()

func BenchmarkJudgeAndTorn(b *testing.B) {
	names := []string{}
	for name := range speedTexts {
		names = append(names, name)
	}
	slices.Sort(names)
	logs, err := filepath.Glob(filepath.Join(os.Getenv("DESCRY_LOGS"), "*.log")) // real ones, where the variable names their folder
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		speedTexts[filepath.Base(name)] = func() string { return string(text) + "\n" }
		names = append(names, filepath.Base(name))
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			text := []byte(speedTexts[name]())
			b.ReportAllocs()
			var s Stream
			processorTime(b, len(text), func() { s.Write(text) })
		})
	}
}
