package output

// binaryLeast is how many bytes of garbage a file that is binary as a whole begins with at least.
const binaryLeast = 4 << 10

// joiner tells a file that is binary as a whole as few spans: pieces of text in it are strings that a
// program or a document holds, and no one's log.
type joiner struct {
	found   func(Found) error
	on      bool
	all     Found
	garbage int64 // bytes of all that are garbage
	passed  bool  // the file did not begin as one, or went on as a log
}

// take takes the next span of a file.
func (j *joiner) take(f Found) error {
	switch {
	case j.passed:
		return j.found(f)
	case !j.on:
		if f.Offset > 0 || f.Length < binaryLeast || f.LooksLike == "NUL bytes" { // a log that was truncated under its writer begins with these
			j.passed = true
			return j.found(f)
		}
		j.on, j.all, j.garbage = true, f, f.Length
		return nil
	}
	if gap := f.Offset - j.all.Offset - j.all.Length; gap > j.garbage/2 {
		if err := j.end(); err != nil {
			return err
		}
		return j.found(f)
	}
	j.garbage += f.Length
	j.all.Length = f.Offset + f.Length - j.all.Offset
	return nil
}

// end hands on what was joined.
func (j *joiner) end() error {
	j.passed = true
	if !j.on {
		return nil
	}
	j.on = false
	return j.found(j.all)
}
