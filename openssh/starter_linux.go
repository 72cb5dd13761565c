package openssh

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starter starts programs that end with this process, however that ends. The
// kernel signals them at the end of the thread that started them (PR_SET_PDEATHSIG
// in prctl(2)), so that this is one thread, kept while any of them runs.
type starter struct {
	mu    sync.Mutex
	users int
	work  chan func()
}

// start starts the program; done must be called when it has ended.
func (s *starter) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	s.mu.Lock()
	if s.users++; s.users == 1 {
		s.work = make(chan func())
		go func(work <-chan func()) { // until the last one has ended
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for f := range work {
				f()
			}
		}(s.work)
	}
	work := s.work
	s.mu.Unlock()
	result := make(chan error)
	work <- func() { result <- cmd.Start() }
	err := <-result
	if err != nil {
		s.done()
	}
	return err
}

func (s *starter) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		close(s.work)
	}
}
