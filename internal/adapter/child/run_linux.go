package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner is the user a program runs as.
type owner struct{ uid, gid uint32 }

// lookUp finds a user by name; nil for "".
func lookUp(name string) (*owner, error) {
	if name == "" {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	if err = errors.Join(err, gerr); err != nil {
		return nil, err
	}
	if uid == 0 {
		return nil, fmt.Errorf("user %s: an adapter is not run as root", name)
	}
	if os.Geteuid() != 0 && uint32(os.Geteuid()) != uint32(uid) {
		return nil, fmt.Errorf("user %s: only root can run a program as another user", name)
	}
	return &owner{uint32(uid), uint32(gid)}, nil
}

// Bounds of a program.
var limits = map[int]unix.Rlimit{
	unix.RLIMIT_CORE:   {Cur: 0, Max: 0}, // a core dump would hold passwords
	unix.RLIMIT_NOFILE: {Cur: 256, Max: 256},
}

// running is a program that was started.
type running struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu   sync.Mutex
	gone bool // its id may be another's
	how  error
}

// run starts a command that ends with us and can gain no privileges. Both hold for what a thread starts as long as the
// thread lives, so one thread is the program's alone.
func run(cmd *exec.Cmd, as *owner) (*running, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if as != nil && uint32(os.Geteuid()) != as.uid {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid, Groups: []uint32{}}
	}
	r := &running{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			started <- err
			return
		}
		started <- confine(cmd.Process.Pid, as) // before anything was said to it
		r.reap()
	}()
	if err := <-started; err != nil {
		if cmd.Process != nil {
			err = errors.Join(err, r.end())
		}
		return nil, err
	}
	return r, nil
}

// confine sets the limits of a program. Those of another user's may be set only by a thread that has that user for its real
// one, or by a privilege that a container seldom has; this thread is given up afterwards.
func confine(pid int, as *owner) error {
	if as != nil {
		none := ^uintptr(0)
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(as.gid), none, none); e != 0 {
			return e
		}
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(as.uid), none, none); e != 0 {
			return e
		}
	}
	for what, limit := range limits {
		if err := unix.Prlimit(pid, what, &limit, nil); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// reap waits for the program and ends what it started and left behind.
func (r *running) reap() {
	for unix.Waitid(unix.P_PID, r.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	r.how, r.gone = r.cmd.Wait(), true
	close(r.ended)
}

// end ends the program, with what it started, and says how it ended.
func (r *running) end() error {
	r.mu.Lock()
	if !r.gone {
		syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	}
	r.mu.Unlock()
	<-r.ended
	return r.how
}
