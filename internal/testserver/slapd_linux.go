package testserver

import "syscall"

// ownGroup gives a child its own process group, so that a terminal's interrupt does not race our stop, and lets it die
// with us, so that a killed test run leaves no server behind.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
