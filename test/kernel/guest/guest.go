// Package guest holds tests that run only in the machines of test/kernel: they show that the
// machine has what the probes' tests need, and they try what changes the whole machine, like
// limits of the kernel and running out of memory, which must happen nowhere else.
package guest
