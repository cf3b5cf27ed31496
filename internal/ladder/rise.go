package ladder

import "fmt"

// Rise watches one value that has a limit, sample by sample, for what a closer look may find out while there is time.
// It is sooner than a forecast, and errs more often: a look in vain costs little.
type Rise struct {
	value int64
	at    int64 // boot time, nanoseconds
	rises int   // in a row
	from  int64 // value before the first of them
	since int64 // and its time
}

const (
	risesAsk   = 3    // in a row
	riseShare  = 4    // of the limit must be used one part in so many
	riseGap    = 15e9 // nanoseconds between two samples that belong together
	riseWithin = 300  // seconds until the limit is reached at that rate
	nearShare  = 10   // less than one part in so many is left: near
	leastLimit = 32   // below, a limit says nothing of growth
)

// Add takes a sample: boot time in nanoseconds, the value and its limit (0 or less: none). ok is true where a closer
// look is worth it.
func (r *Rise) Add(boot, value, limit int64) (sign Sign, why string, ok bool) {
	known := r.at != 0
	switch {
	case !known || boot-r.at > riseGap || value < r.value:
		r.rises = 0
	case value > r.value:
		if r.rises == 0 {
			r.from, r.since = r.value, r.at
		}
		r.rises++
	}
	r.value, r.at = value, boot
	if !known || limit < leastLimit || r.rises == 0 {
		return 0, "", false
	}
	if left := limit - value; left*nearShare <= limit {
		return NearLimit, fmt.Sprintf("%d of %d are in use", value, limit), true
	}
	if r.rises < risesAsk || value*riseShare < limit {
		return 0, "", false
	}
	rate := float64(value-r.from) / (float64(boot-r.since) / 1e9)
	if rate <= 0 || float64(limit-value)/rate > riseWithin {
		return 0, "", false
	}
	return Growth, fmt.Sprintf("%d of %d are in use, %.1f a second more", value, limit, rate), true
}
