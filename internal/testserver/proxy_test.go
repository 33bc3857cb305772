package testserver_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/testserver"
)

func TestProxyLosesRequestsAnswersAndConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var seen atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for lines := bufio.NewScanner(c); lines.Scan(); {
					seen.Add(1)
					fmt.Fprintln(c, "answer to", lines.Text())
				}
			}()
		}
	}()
	p := testserver.NewProxy(t, l.Addr().String())
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	ask := func(what string) error {
		fmt.Fprintln(c, what)
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := answers.ReadString('\n')
		return err
	}
	if err := ask("one"); err != nil || seen.Load() != 1 {
		t.Fatalf("without a fault: %v, %d requests seen", err, seen.Load())
	}
	p.LoseAnswers(true)
	if err := ask("two"); !errors.Is(err, os.ErrDeadlineExceeded) || seen.Load() != 2 {
		t.Errorf("a lost answer: %v, %d requests seen, want a timeout and 2", err, seen.Load())
	}
	p.LoseAnswers(false)
	p.LoseRequests(true)
	if err := ask("three"); !errors.Is(err, os.ErrDeadlineExceeded) || seen.Load() != 2 {
		t.Errorf("a lost request: %v, %d requests seen, want a timeout and 2", err, seen.Load())
	}
	p.LoseRequests(false)
	p.Cut()
	if err := ask("four"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
		t.Errorf("a cut connection: got %v, want it closed", err)
	}
}
