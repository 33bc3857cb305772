//go:build unix && !linux

package testserver

import "syscall"

// ownGroup gives a child its own process group, so that a terminal's interrupt does not race our stop.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
