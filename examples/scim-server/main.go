// Command scim-server is an example: a SCIM 2.0 server for users and groups that forgets everything when it ends.
package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
)

func main() {
	listen := flag.String("listen", "localhost:8081", "host and port; port 0 for any")
	token := flag.String("token", "", "the bearer token clients must show; others on this computer can see a flag, so this is for trying out")
	flag.Parse()
	log.Fatal(serve(context.Background(), *listen, *token, func(base string) { log.Print("serving ", base) }))
}

// serve serves until ctx ends, and then says http.ErrServerClosed. ready gets the base URL.
func serve(ctx context.Context, listen, token string, ready func(base string)) error {
	if len(token) < 16 {
		return errors.New("-token: want 16 characters or more")
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer l.Close()
	types := []scim.ResourceType{
		{Name: "User", Endpoint: "/Users", Schema: schema.User(), Extensions: []schema.Extension{{Schema: schema.EnterpriseUser()}}},
		{Name: "Group", Endpoint: "/Groups", Schema: schema.Group()},
	}
	db := memstore.New() // one for all types: members refer to users
	for i, t := range types {
		kind, err := schema.NewType(t.Name, t.Schema, t.Extensions...)
		if err != nil {
			return err
		}
		types[i].Store = db.Type(kind)
	}
	base := "http://" + l.Addr().String() + "/scim/v2" // the address in every answer; a Host header never is
	auth := func(r *http.Request) (*scim.Principal, error) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			return nil, scim.ErrUnauthenticated
		}
		return &scim.Principal{Subject: "the one client", Compat: schema.Standard()}, nil
	}
	handler, err := scim.NewServer(scim.Config{BaseURL: base, Auth: auth, Types: types})
	if err != nil {
		return err
	}
	h := &http.Server{Handler: handler, ReadTimeout: 30 * time.Second}
	ready(base)
	defer context.AfterFunc(ctx, func() { h.Close() })()
	return h.Serve(l)
}
