package sample

import "time"

// Schedule says when to sweep next. It is pure.
type Schedule struct {
	Fast    time.Duration // between sweeps at first; 0 means 100 ms
	Slow    time.Duration // and then; 0 means a second
	FastFor time.Duration // how long "at first" is; 0 means two seconds
}

// soonFactor is how many slow intervals before an exhaustion sweeps become fast again: a process
// that runs out of descriptors within seconds would be dead before the next slow one.
const soonFactor = 10

// Next is the time from one sweep, elapsed after the program's start, to the next one. exhaustion is
// the forecast time until a limit is reached, 0 where there is none.
func (s Schedule) Next(elapsed, exhaustion time.Duration) time.Duration {
	fast, slow, fastFor := s.Fast, s.Slow, s.FastFor
	if fast <= 0 {
		fast = 100 * time.Millisecond
	}
	if slow <= 0 {
		slow = time.Second
	}
	if fastFor <= 0 {
		fastFor = 2 * time.Second
	}
	if elapsed < fastFor || exhaustion > 0 && exhaustion < soonFactor*slow {
		return min(fast, slow)
	}
	return slow
}
