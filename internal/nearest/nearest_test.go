package nearest_test

import (
	"testing"

	"github.com/shoal-ssh/shoal/internal/nearest"
)

func TestWord(t *testing.T) {
	known := []string{"down", "compute", "gpu", "login"}
	for word, want := range map[string]string{
		"dwon": "down", "Down": "down", "comp": "compute", "gp": "gpu", "logins": "login", "storage": "", "": "", "down": "down",
	} {
		if got, ok := nearest.Word(word, known); got != want || ok != (want != "") {
			t.Errorf("Word(%q): got %q, %v, want %q", word, got, ok, want)
		}
	}
}
