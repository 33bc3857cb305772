package activedirectory

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

// BenchmarkReset is Reset at four connections beside the same requests by hand: the state before, the write, and the state
// after, on four connections that are signed in. ratio is by-hand time over ours, so 1 is free. Both take turns in short
// rounds, so that what else the machine does falls on both.
func BenchmarkReset(b *testing.B) {
	const connections, round = 4, 8
	s := testserver.Samba(b)
	a := adapter(b, s, func(c *Config) { c.PoolSize, c.GroupsBase, c.GuardedFilter = connections, "", "" })
	var people []directory.User
	for i := range connections {
		people = append(people, person(b, s, a, fmt.Sprintf("ada%d", i), nil))
	}
	var hands []*ldap.Conn
	for range connections {
		c, err := ldap.DialURL(s.URL, ldap.DialWithTLSConfig(&tls.Config{RootCAs: s.Pool, ServerName: s.Host, MinVersion: tls.VersionTLS12}))
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if err := c.Bind(s.ServiceUPN, s.ServicePassword); err != nil {
			b.Fatal(err)
		}
		hands = append(hands, c)
	}
	fresh := func() string { return "aB1-" + rand.Text() }
	look := func(c *ldap.Conn, dn string) error {
		req := base(dn, a.cfg.UserFilter, stateAttrs...)
		req.Controls = []ldap.Control{daclOnly()}
		_, err := c.Search(req)
		return err
	}
	byHand := func(i int) error {
		dn := "<GUID=" + people[i].Ref.ID + ">"
		if err := look(hands[i], dn); err != nil {
			return err
		}
		m := ldap.NewModifyRequest(dn, nil)
		m.Replace("unicodePwd", []string{testserver.UnicodePwd(fresh())})
		if err := hands[i].Modify(m); err != nil {
			return err
		}
		return look(hands[i], dn)
	}
	ours := func(i int) error { return reset(b.Context(), a, people[i], fresh()) }
	timed := func(n int, one func(int) error) time.Duration {
		var all sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(n))
		start := time.Now()
		for i := range connections {
			all.Go(func() {
				for left.Add(-1) >= 0 {
					if err := one(i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(start)
	}
	timed(connections, byHand)
	timed(connections, ours)
	var hand, we time.Duration
	done := 0
	b.ResetTimer()
	for n := b.N; n > 0; n -= round {
		k := min(n, round)
		hand += timed(k, byHand)
		we += timed(k, ours)
		done += k
	}
	b.StopTimer()
	b.ReportMetric(float64(done)/we.Seconds(), "resets/s")
	b.ReportMetric(float64(done)/hand.Seconds(), "by-hand/s")
	b.ReportMetric(hand.Seconds()/we.Seconds(), "ratio")
}
