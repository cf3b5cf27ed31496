package evidence

import "testing"

func TestText(t *testing.T) {
	raw := "plain\n\xee\xf8\xe8\xe1\xea\xe0\nошибка\n"
	c := &Case{LastOutput: &LastOutput{Stdout: []byte(raw), Stderr: []byte(raw)}}
	if got := string(c.Text("stdout")); got != raw {
		t.Errorf("with no word of an encoding: %q", got)
	}
	c.Timeline = []Observation{{Detail: &Foreign{Stream: "stdout", Encoding: "Windows-1251"}}}
	if got := string(c.Text("stdout")); got != "plain\nошибка\nошибка\n" {
		t.Errorf("stdout: %q", got)
	}
	if got := string(c.Text("stderr")); got != raw {
		t.Errorf("the other stream: %q", got)
	}
	c.Timeline[0].Detail.(*Foreign).Encoding = "Klingon"
	if got := string(c.Text("stdout")); got != raw {
		t.Errorf("an encoding that is not known: %q", got)
	}
	if (&Case{}).Text("stdout") != nil {
		t.Error("without output")
	}
}
