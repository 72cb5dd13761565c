package shoal_test

import "testing"

// conform names the rows of parallel-ssh's own tests whose behaviour a test
// shows, as "section name". docs/conformance.md is made from these calls.
func conform(t *testing.T, rows ...string) {
	t.Helper()
	for _, row := range rows {
		t.Log("conforms to " + row)
	}
}
