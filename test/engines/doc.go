// Package engines are tests of the node's agent beside container engines and systemd, as Debian has them: each test starts the real
// daemon in namespaces and cgroups of its own, lets containers die, and reads their cases. Nothing of the machine is
// changed: a keeper ends all that a test started and removes its cgroups, also when the test is killed.
package engines
