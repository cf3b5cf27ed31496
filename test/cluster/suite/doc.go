// Package suite are the tests that run on the node of test/cluster. The tag "cluster" keeps them out of other runs.
package suite
