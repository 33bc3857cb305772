package main

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/regain-id/regain/pkg/scim/scimtest"
)

const token = "a token for this test alone"

// start serves on a free port until the test ends and returns the base URL.
func start(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- serve(ctx, "127.0.0.1:0", token, func(base string) { ready <- base }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("asked to end, it said %v", err)
		}
	})
	select {
	case base := <-ready:
		return base
	case err := <-ended:
		ended <- http.ErrServerClosed
		t.Fatal(err)
		return ""
	}
}

func TestTheExampleIsAConformingServer(t *testing.T) {
	scimtest.Run(t, start(t), token)
}

func TestNobodyGetsInWithoutTheToken(t *testing.T) {
	base := start(t)
	for _, header := range []string{"", "Bearer ", "Bearer " + token + "x", "Basic " + token, token} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/Users", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%q: got %d, want 401", header, res.StatusCode)
		}
	}
	if err := serve(t.Context(), "127.0.0.1:0", "", nil); err == nil {
		t.Error("serves without a token")
	}
}
