package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

func host(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Serve answers requests on a listener and runs the workers until ctx ends, then drains: ready says no, requests under
// way finish within ten seconds, writes that were sent are awaited.
func (srv *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler: srv.Handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 90 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 32 << 10, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers sync.WaitGroup
	workers.Go(func() { srv.Work(wctx) })
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		srv.health.draining.Store(true)
		dctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err = h.Shutdown(dctx)
		cancel()
	}
	stop()
	workers.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// certificates serves a certificate from files and reads them again when they change.
type certificates struct {
	cert, key string
	mu        sync.Mutex
	stamp     time.Time
	loaded    *tls.Certificate
}

func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp, err := c.changed()
	if err == nil && c.loaded != nil && stamp.Equal(c.stamp) {
		return c.loaded, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.cert, c.key); err == nil {
			c.loaded, c.stamp = &pair, stamp
		}
	}
	if c.loaded == nil { // a pair that is half written leaves the old one in use
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return c.loaded, nil
}

func (c *certificates) changed() (time.Time, error) {
	var latest time.Time
	for _, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return latest, err
		}
		if info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest, nil
}

// listen opens the address, with TLS when both files are given.
func listen(address, cert, key string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil || cert == "" {
		return l, err
	}
	c := &certificates{cert: cert, key: key}
	if _, err := c.get(nil); err != nil {
		l.Close()
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}
