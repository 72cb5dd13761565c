package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// Programs with the race detector sleep before they end, for a second
	// unless told otherwise.
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=10")
	}
	programs := map[string]func(){"shoal": main, "exits": exits}
	for name := range personalities() {
		programs[name] = main
	}
	testscript.Main(m, programs)
}

// exits is a program for scripts: "exits CODE PROGRAM ARG…" runs a program that
// has to end with that exit code.
func exits() {
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	code := "0"
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = fmt.Sprint(e.ExitCode())
	} else if err != nil {
		code = err.Error()
	}
	if code != os.Args[1] {
		fmt.Fprintf(os.Stderr, "exits: got %s, want %s\n", code, os.Args[1])
		os.Exit(1)
	}
}
