package guest

import (
	"os"
	"slices"
	"testing"
)

// What changes the whole machine, told by the whole command.
func TestMachineExplains(t *testing.T) {
	needMachine(t)
	// The kernel takes the largest of those that it may take: neither this one nor descry.
	oomScore(t, "-1000")
	for range 8 {
		spare(t)
	}
	for _, c := range slices.Concat(fileTable, nodeMemory, socketMemory) {
		if !c.once || !testing.Short() {
			t.Run(c.name, c.run)
		}
	}
}

// spare starts a process that may be killed, and ends it with the test.
func spare(t *testing.T) {
	t.Helper()
	cmd := child("spare")
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		hold.Close()
		cmd.Wait() // it may have been killed: that is what it was for
	})
}

// fullTable lets everybody but root be refused files until the test ends, tells the program, and waits for its end.
func fullTable(t *testing.T, r *running) {
	sysctl(t, "fs.file-max", "16")
	r.tell(t)
	<-r.ended
}

var fileTable = []trial{
	{name: "table-python", once: true, argv: []string{"python3", "table.py"}, code: 1, cause: "system-fd-limit", midway: fullTable,
		store: "system-fd-limit/positive-real-python-others-hold-them"},
	{name: "table-accept-c", argv: []string{"accepts.c"}, code: 17, cause: "system-fd-limit", midway: fullTable,
		store: "system-fd-limit/positive-real-mute-accept-c"},
	{name: "table-redirect-sh", once: true, argv: []string{"child:as-nobody", "/bin/sh", "-c", `echo ready; read x; exec 3</etc/hosts; echo never`}, code: -1,
		cause: "system-fd-limit", midway: fullTable, store: "system-fd-limit/positive-real-shell-redirect"},
	{name: "table-exec-sh", once: true, argv: []string{"child:as-nobody", "/bin/sh", "-c", `echo ready; read x; /bin/ls /; exit $?`}, code: -1,
		cause: "system-fd-limit", midway: fullTable, store: "system-fd-limit/positive-real-shell-exec"},
	{name: "table-survived-python", once: true, argv: []string{"python3", "table.py", "retry"}, code: 1, cause: "uncaught-error", never: []string{"system-fd-limit"},
		midway: func(t *testing.T, r *running) {
			old, err := os.ReadFile("/proc/sys/fs/file-max")
			if err != nil {
				t.Fatal(err)
			}
			sysctl(t, "fs.file-max", "16")
			r.tell(t)
			r.await(t, "refused")
			sysctl(t, "fs.file-max", string(old))
			r.tell(t)
		}, store: "system-fd-limit/near-miss-real-python-retries"},
}
